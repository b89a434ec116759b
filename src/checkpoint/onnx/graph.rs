//! A graph while it grows, node by node, and the layers that all towers share.
//!
//! The parameters keep their names and shapes: [`Graph::parameters`] makes a tree of names of a table of parameters, and
//! a layer takes its part of that tree. Every value has a name too.

use super::proto::{Attribute, Extent, Kind, Node, Shape, Size, Tensor, Type, Value};
use super::proto::{TensorType, ValueType};
use crate::checkpoint::Precision;
use crate::layers::batch_norm::BatchNorm;
use crate::layers::conv2d::Conv2d;
use crate::layers::layer_norm::LayerNorm;
use crate::layers::linear::Linear;
use crate::params::{Role, Spec};
use crate::tree::{Path, Tree};

/// A graph that is being made.
pub struct Graph {
    pub nodes: Vec<Node>,
    /// Arrays of a few numbers that are no parameters.
    pub constants: Vec<Tensor>,
    precision: Precision,
}

/// Returns a setting that is a whole number.
pub fn int(name: &str, value: usize) -> Attribute {
    Attribute { name: name.into(), i: Some(value as i64), kind: Kind::Int.into(), ..Attribute::default() }
}

/// Returns a setting that is a list of whole numbers.
pub fn ints<const K: usize>(name: &str, values: [i64; K]) -> Attribute {
    Attribute { name: name.into(), ints: values.into(), kind: Kind::Ints.into(), ..Attribute::default() }
}

/// Returns the axis along which an operator works; −1 is the last.
pub fn axis(axis: i64) -> Attribute {
    Attribute { name: "axis".into(), i: Some(axis), kind: Kind::Int.into(), ..Attribute::default() }
}

fn float(name: &str, value: f32) -> Attribute {
    Attribute { name: name.into(), f: Some(value), kind: Kind::Float.into(), ..Attribute::default() }
}

/// Returns an input or output of a graph. A size that is a name may differ from run to run.
pub fn value(name: &str, of: Type, sizes: &[Extent]) -> Value {
    let dim = sizes.iter().map(|size| Size { value: Some(size.clone()) }).collect();
    let tensor_type = Some(TensorType { elem_type: of.into(), shape: Some(Shape { dim }) });
    Value { name: name.into(), r#type: Some(ValueType { tensor_type }) }
}

/// Returns an array of 32-bit floats.
pub fn floats(name: &str, dims: &[i64], values: &[f32]) -> Tensor {
    let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Tensor {
        name: name.into(),
        dims: dims.into(),
        data_type: Type::Float.into(),
        raw_data: Some(raw),
        ..Tensor::default()
    }
}

impl Graph {
    /// Returns a graph whose parameters are stored in this precision. It computes in 32 bits.
    pub fn new(precision: Precision) -> Self {
        Graph { nodes: vec![], constants: vec![], precision }
    }

    /// Returns the name of each parameter, widened to 32 bits where it is stored in 16.
    pub fn parameters<S: Tree<Leaf = Spec>>(&mut self, spec: &S, at: &Path) -> S::Of<String> {
        spec.map(at, &mut |path, spec| match self.precision {
            // Inference does not read for how many batches statistics were taken.
            _ if spec.role == Role::Count => String::new(),
            Precision::F32 => path.to_string(),
            Precision::F16 => self.node("Cast", &[&path.to_string()], vec![int("to", Type::Float as usize)]),
        })
    }

    /// Appends a node; returns the name of its output.
    pub fn node(&mut self, operator: &str, inputs: &[&str], attribute: Vec<Attribute>) -> String {
        let name = format!("{operator}_{}", self.nodes.len());
        self.nodes.push(Node {
            input: inputs.iter().map(|input| input.to_string()).collect(),
            output: vec![name.clone()],
            name: name.clone(),
            op_type: operator.into(),
            attribute,
        });
        name
    }

    /// Gives the last node's output the name of the graph's.
    pub fn name_output(&mut self, name: &str) {
        self.nodes.last_mut().expect("a node").output = vec![name.into()];
    }

    fn constant(&mut self, tensor: Tensor) -> String {
        let name = format!("constant_{}", self.constants.len());
        self.constants.push(Tensor { name: name.clone(), ..tensor });
        name
    }

    /// Returns the name of a list of whole numbers, as sizes are.
    pub fn list(&mut self, values: &[i64]) -> String {
        let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let (dims, data_type) = (vec![values.len() as i64], Type::Int64.into());
        self.constant(Tensor { dims, data_type, raw_data: Some(raw), ..Tensor::default() })
    }

    /// Returns the name of a whole number.
    pub fn whole(&mut self, value: i64) -> String {
        let raw_data = Some(value.to_le_bytes().into());
        self.constant(Tensor { data_type: Type::Int64.into(), raw_data, ..Tensor::default() })
    }

    /// Returns the name of a number.
    pub fn number(&mut self, value: f32) -> String {
        self.constant(floats("", &[], &[value]))
    }

    /// Gives x other sizes; −1 is whatever is left, and 0 as before.
    pub fn reshape(&mut self, x: &str, sizes: &[i64]) -> String {
        let sizes = self.list(sizes);
        self.node("Reshape", &[x, &sizes], vec![])
    }

    pub fn transpose<const K: usize>(&mut self, x: &str, order: [i64; K]) -> String {
        self.node("Transpose", &[x], vec![ints("perm", order)])
    }

    /// Takes the entry `i` along an axis, which is gone afterwards.
    pub fn pick(&mut self, x: &str, along: i64, i: i64) -> String {
        let i = self.whole(i);
        self.node("Gather", &[x, &i], vec![axis(along)])
    }

    /// y = x Wᵀ + b
    pub fn linear(&mut self, weight: &str, bias: &str, x: &str) -> String {
        self.node("Gemm", &[x, weight, bias], vec![int("transB", 1)])
    }

    /// y = x Wᵀ + b
    pub fn linear_layer(&mut self, p: &Linear<String>, x: &str) -> String {
        self.linear(&p.weight, &p.bias, x)
    }

    pub fn layer_norm(&mut self, p: &LayerNorm<String>, eps: f32, x: &str) -> String {
        self.node("LayerNormalization", &[x, &p.weight, &p.bias], vec![axis(-1), float("epsilon", eps)])
    }

    /// out = softmax(q kᵀ/√c (+ mask)) v
    ///
    /// `keys` are transposed already: columns instead of rows.
    pub fn attend(&mut self, [q, keys, v]: [&str; 3], mask: Option<&str>, head_dim: usize) -> String {
        let scale = self.number((head_dim as f32).powf(-0.5));
        let q = self.node("Mul", &[q, &scale], vec![]);
        let mut scores = self.node("MatMul", &[&q, keys], vec![]);
        if let Some(mask) = mask {
            scores = self.node("Add", &[&scores, mask], vec![]);
        }
        let probs = self.node("Softmax", &[&scores], vec![axis(-1)]);
        self.node("MatMul", &[&probs, v], vec![])
    }

    /// y = act(bn(x ∗ W)), by the running statistics; act = max(0, ·) if `relu`
    pub fn conv_norm(
        &mut self,
        (conv, bn): (&Conv2d<String>, &BatchNorm<String>),
        [stride, pad]: [i64; 2],
        relu: bool,
        x: &str,
    ) -> String {
        let settings = vec![ints("strides", [stride; 2]), ints("pads", [pad; 4])];
        let z = self.node("Conv", &[x, &conv.weight], settings);
        let statistics = [&bn.weight, &bn.bias, &bn.running_mean, &bn.running_var].map(String::as_str);
        let inputs = [&[z.as_str()], &statistics[..]].concat();
        let y = self.node("BatchNormalization", &inputs, vec![float("epsilon", kernels::batch_norm::EPS)]);
        if relu { self.node("Relu", &[&y], vec![]) } else { y }
    }

    /// Averages squares of `edge` pixels; edges of one pixel change nothing.
    pub fn avg_pool(&mut self, edge: usize, x: String) -> String {
        match edge as i64 {
            1 => x,
            edge => self.node("AveragePool", &[&x], vec![ints("kernel_shape", [edge; 2]), ints("strides", [edge; 2])]),
        }
    }

    /// y = x/|x|, row by row, under the name of the graph's output
    pub fn unit(&mut self, x: &str, output: &str) {
        let norm = self.node("ReduceL2", &[x], vec![ints("axes", [-1]), int("keepdims", 1)]);
        self.node("Div", &[x, &norm], vec![]);
        self.name_output(output);
    }
}
