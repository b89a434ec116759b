//! A naive runtime of ONNX graphs in f64, by the definitions of the operators (onnx.ai, version 17). It knows those that
//! the towers of a CLIP have, with the settings that they have.

use clipwright::checkpoint::onnx::proto::{Attribute, Model, Node, Tensor, Type};
use clipwright::tour::gelu::{normal_cdf, sigmoid};
use half::f16;
use ndarray::{Array1, ArrayD, ArrayView1, Axis, Ix2, IxDyn, Slice, Zip, concatenate, stack};
use std::collections::HashMap;

type Array = ArrayD<f64>;

/// Runs a graph with one input; returns its one output.
pub fn run(model: &Model, input: Array) -> Array {
    let graph = model.graph.as_ref().unwrap();
    let mut values: HashMap<&str, Array> =
        graph.initializer.iter().map(|tensor| (tensor.name.as_str(), array(tensor))).collect();
    values.insert(&graph.input[0].name, input);
    for node in &graph.node {
        let inputs: Vec<_> = node.input.iter().map(|name| &values[name.as_str()]).collect();
        let output = apply(node, &inputs);
        assert!(values.insert(&node.output[0], output).is_none(), "{} has two values", node.output[0]);
    }
    values.remove(graph.output[0].name.as_str()).unwrap()
}

/// Returns the numbers of a tensor.
pub fn array(tensor: &Tensor) -> Array {
    let raw = tensor.raw_data();
    let values: Vec<f64> = match tensor.data_type() {
        Type::Float => raw.as_chunks().0.iter().map(|raw| f32::from_le_bytes(*raw).into()).collect(),
        Type::Float16 => raw.as_chunks().0.iter().map(|raw| f16::from_le_bytes(*raw).to_f64()).collect(),
        Type::Int64 => raw.as_chunks().0.iter().map(|raw| i64::from_le_bytes(*raw) as f64).collect(),
        other => panic!("{other:?}"),
    };
    let sizes: Vec<_> = tensor.dims.iter().map(|&size| size as usize).collect();
    ArrayD::from_shape_vec(sizes, values).unwrap()
}

fn setting<'a>(node: &'a Node, name: &str) -> Option<&'a Attribute> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

fn int(node: &Node, name: &str) -> i64 {
    setting(node, name).and_then(|found| found.i).unwrap_or_else(|| panic!("{} without {name}", node.name))
}

fn ints(node: &Node, name: &str) -> Vec<usize> {
    setting(node, name).map(|found| found.ints.iter().map(|&i| i as usize).collect()).unwrap_or_default()
}

fn sizes(x: &Array) -> Vec<i64> {
    x.iter().map(|&size| size as i64).collect()
}

fn apply(node: &Node, inputs: &[&Array]) -> Array {
    let x = inputs[0];
    match node.op_type.as_str() {
        "Add" => both(x, inputs[1], |a, b| a + b),
        "Mul" => both(x, inputs[1], |a, b| a * b),
        "Div" => both(x, inputs[1], |a, b| a / b),
        "Equal" => both(x, inputs[1], |a, b| f64::from(a == b)),
        "Cast" => x.clone(),
        "Sigmoid" => x.mapv(sigmoid),
        "Relu" => x.mapv(|x| x.max(0.0)),
        "Erf" => x.mapv(|x| 2.0 * normal_cdf(x * 2f64.sqrt()) - 1.0),
        "Gemm" => {
            assert_eq!(int(node, "transB"), 1);
            both(&product(x, &inputs[1].t().to_owned()), inputs[2], |a, b| a + b)
        }
        "MatMul" => product(x, inputs[1]),
        "Transpose" => x.clone().permuted_axes(ints(node, "perm")).as_standard_layout().into_owned(),
        "Reshape" => reshape(x, &sizes(inputs[1])),
        "Expand" => {
            let sizes: Vec<_> = sizes(inputs[1]).into_iter().map(|size| size as usize).collect();
            x.broadcast(sizes).unwrap().to_owned()
        }
        "Shape" => {
            let [start, end] = ["start", "end"].map(|name| setting(node, name).map(|found| found.i.unwrap() as usize));
            let sizes = &x.shape()[start.unwrap_or(0)..end.unwrap_or(x.ndim())];
            sizes.iter().map(|&size| size as f64).collect::<Array1<_>>().into_dyn()
        }
        "Concat" => {
            let views: Vec<_> = inputs.iter().map(|input| input.view()).collect();
            concatenate(Axis(int(node, "axis") as usize), &views).unwrap()
        }
        "Slice" => {
            let [from, to] = [inputs[1], inputs[2]].map(|place| sizes(place)[0] as isize);
            x.slice_axis(Axis(0), Slice::from(from..to)).to_owned()
        }
        "Gather" => gather(x, inputs[1], Axis(int(node, "axis") as usize)),
        "GatherND" => {
            assert_eq!((int(node, "batch_dims"), inputs[1].shape()[1]), (1, 1));
            let rows: Vec<_> =
                x.outer_iter().zip(inputs[1]).map(|(x, &i)| x.index_axis_move(Axis(0), i as usize)).collect();
            stack(Axis(0), &rows).unwrap()
        }
        "ConstantOfShape" => {
            let value = array(setting(node, "value").unwrap().t.as_ref().unwrap());
            let sizes: Vec<_> = sizes(x).into_iter().map(|size| size as usize).collect();
            ArrayD::from_elem(sizes, value[[0]])
        }
        "Trilu" => {
            assert_eq!(int(node, "upper"), 1);
            let k = sizes(inputs[1])[0];
            ArrayD::from_shape_fn(x.raw_dim(), |i| if i[1] as i64 >= i[0] as i64 + k { x[i] } else { 0.0 })
        }
        "ArgMax" => {
            assert_eq!((int(node, "axis"), int(node, "keepdims")), (1, 1));
            // The first of the largest.
            let place = |row: ArrayView1<f64>| row.iter().position(|x| row.iter().all(|y| y <= x)).unwrap() as f64;
            x.map_axis(Axis(1), place).insert_axis(Axis(1))
        }
        "Softmax" => by_rows(x, |row| {
            let max = row.iter().fold(f64::NEG_INFINITY, |max, &x| max.max(x));
            row.iter_mut().for_each(|x| *x = (*x - max).exp());
            let sum: f64 = row.iter().sum();
            row.iter_mut().for_each(|x| *x /= sum);
        }),
        "LayerNormalization" => {
            let eps = f64::from(setting(node, "epsilon").unwrap().f.unwrap());
            let normed = by_rows(x, |row| {
                let mean = row.iter().sum::<f64>() / row.len() as f64;
                let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / row.len() as f64;
                row.iter_mut().for_each(|x| *x = (*x - mean) / (variance + eps).sqrt());
            });
            both(&both(&normed, inputs[1], |a, b| a * b), inputs[2], |a, b| a + b)
        }
        "ReduceL2" => {
            assert_eq!(setting(node, "axes").unwrap().ints, [-1]);
            x.map_axis(Axis(x.ndim() - 1), |row| row.dot(&row).sqrt()).insert_axis(Axis(x.ndim() - 1))
        }
        "ReduceMean" => x.mean_axis(Axis(ints(node, "axes")[0])).unwrap().insert_axis(Axis(ints(node, "axes")[0])),
        "Conv" => conv(node, x, inputs[1]),
        "BatchNormalization" => {
            let eps = f64::from(setting(node, "epsilon").unwrap().f.unwrap());
            ArrayD::from_shape_fn(x.raw_dim(), |i| {
                let [weight, bias, mean, variance] = [1, 2, 3, 4].map(|input| inputs[input][[i[1]]]);
                (x[&i] - mean) / (variance + eps).sqrt() * weight + bias
            })
        }
        "AveragePool" => {
            let edge = ints(node, "kernel_shape")[0];
            assert_eq!(ints(node, "strides"), [edge, edge]);
            let sizes = [x.shape()[0], x.shape()[1], x.shape()[2] / edge, x.shape()[3] / edge];
            ArrayD::from_shape_fn(&sizes[..], |i| {
                let places = (0..edge * edge).map(|t| [i[0], i[1], i[2] * edge + t / edge, i[3] * edge + t % edge]);
                places.map(|place| x[place]).sum::<f64>() / (edge * edge) as f64
            })
        }
        other => panic!("an operator {other}"),
    }
}

/// Applies f to each pair of numbers; the smaller array counts for all of the larger.
fn both(a: &Array, b: &Array, f: impl Fn(f64, f64) -> f64) -> Array {
    let rank = a.ndim().max(b.ndim());
    let size = |x: &Array, axis: usize| (axis + x.ndim()).checked_sub(rank).map_or(1, |own| x.shape()[own]);
    let sizes: Vec<_> = (0..rank).map(|axis| size(a, axis).max(size(b, axis))).collect();
    let (a, b) = (a.broadcast(&sizes[..]).unwrap(), b.broadcast(&sizes[..]).unwrap());
    Zip::from(a).and(b).map_collect(|&a, &b| f(a, b))
}

/// Changes each row of the last axis.
fn by_rows(x: &Array, change: impl Fn(&mut [f64])) -> Array {
    let mut y = x.clone();
    y.rows_mut().into_iter().for_each(|mut row| change(row.as_slice_mut().unwrap()));
    y
}

/// Multiplies matrices, of which there may be many.
fn product(a: &Array, b: &Array) -> Array {
    if a.ndim() == 2 {
        let [a, b] = [a, b].map(|x| x.view().into_dimensionality::<Ix2>().unwrap());
        return a.dot(&b).into_dyn();
    }
    let products: Vec<_> =
        a.outer_iter().zip(b.outer_iter()).map(|(a, b)| product(&a.to_owned(), &b.to_owned())).collect();
    stack(Axis(0), &products.iter().map(|product| product.view()).collect::<Vec<_>>()).unwrap()
}

fn reshape(x: &Array, wanted: &[i64]) -> Array {
    let size = |(axis, &size): (usize, &i64)| if size == 0 { x.shape()[axis] as i64 } else { size };
    let sizes: Vec<_> = wanted.iter().enumerate().map(size).collect();
    let rest = x.len() / sizes.iter().filter(|&&size| size > 0).product::<i64>() as usize;
    let sizes: Vec<_> = sizes.into_iter().map(|size| if size < 0 { rest } else { size as usize }).collect();
    x.to_shape(sizes).unwrap().to_owned()
}

fn gather(x: &Array, indices: &Array, axis: Axis) -> Array {
    let rows: Vec<_> = indices.iter().map(|&i| x.index_axis(axis, i as usize)).collect();
    if indices.ndim() == 0 {
        return rows[0].to_owned();
    }
    assert_eq!(axis, Axis(0));
    let sizes = [indices.shape(), &x.shape()[1..]].concat();
    stack(Axis(0), &rows).unwrap().to_shape(IxDyn(&sizes)).unwrap().to_owned()
}

fn conv(node: &Node, x: &Array, weight: &Array) -> Array {
    let (strides, pads) = (ints(node, "strides"), ints(node, "pads"));
    let (stride, pad) = (strides[0], pads.first().copied().unwrap_or(0));
    let (kernel, edge) = (weight.shape()[2], x.shape()[2]);
    let out = (edge + 2 * pad - kernel) / stride + 1;
    ArrayD::from_shape_fn(&[x.shape()[0], weight.shape()[0], out, out][..], |i| {
        let mut sum = 0.0;
        for (t, channel) in (0..kernel * kernel).flat_map(|t| (0..x.shape()[1]).map(move |channel| (t, channel))) {
            let [row, column] = [i[2] * stride + t / kernel, i[3] * stride + t % kernel];
            if (pad..edge + pad).contains(&row) && (pad..edge + pad).contains(&column) {
                sum += x[[i[0], channel, row - pad, column - pad]] * weight[[i[1], channel, t / kernel, t % kernel]];
            }
        }
        sum
    })
}
