//! The towers as ONNX graphs, read back from their files: parameters, inputs and outputs, and what the graphs compute.
//! `benches/onnx_check.py` asks ONNX Runtime and OpenVINO the same of whole models.

use super::onnx_runtime::{array, run};
use crate::support::tiny::{config, resnet};
use clipwright::checkpoint::onnx::proto::{Extent, Model as Graph, Type};
use clipwright::checkpoint::onnx::{TEXTUAL, VISUAL, save};
use clipwright::checkpoint::{CONFIG, CheckpointError, ConfigFile, Contents, Precision};
use clipwright::models::Captions;
use clipwright::models::clip::Config;
use clipwright::models::clip::model::{Inference, Model};
use clipwright::params::{Role, Spec};
use clipwright::tree::Path;
use ndarray::{Array2, ArrayD};
use prost::Message;
use std::collections::HashMap;
use std::fs;

const END: u32 = 299;

/// Returns a model none of whose numbers is as it starts, so that each of them matters.
fn model(config: Config) -> Model {
    let mut model = Model::new(config, 3);
    let mut i = 0u32;
    model.params.flat.iter_mut().for_each(|x| {
        i = i.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *x += (i >> 8) as f32 / (1 << 24) as f32 * 0.2;
    });
    model
}

fn written(model: &Model, precision: Precision) -> [Graph; 2] {
    let folder = tempfile::tempdir().unwrap();
    let file = ConfigFile::new(model.config.clone());
    save(folder.path(), Contents { model, config: &file }, END, precision).unwrap();
    assert_eq!(ConfigFile::read(&folder.path().join(CONFIG)).unwrap(), file);
    [VISUAL, TEXTUAL].map(|name| Graph::decode(&fs::read(folder.path().join(name)).unwrap()[..]).unwrap())
}

/// Returns the type and the sizes of an input or output.
fn described(value: &clipwright::checkpoint::onnx::proto::Value) -> (String, Type, String) {
    let tensor = value.r#type.as_ref().unwrap().tensor_type.as_ref().unwrap();
    let sizes = tensor.shape.as_ref().unwrap().dim.iter().map(|size| match size.value.as_ref().unwrap() {
        Extent::Fixed(size) => size.to_string(),
        Extent::Named(name) => name.clone(),
    });
    (value.name.clone(), tensor.elem_type(), sizes.collect::<Vec<_>>().join(","))
}

#[test]
fn the_graphs_have_every_parameter_under_its_name() {
    for config in [config(16), resnet(4)] {
        let (model, edge) = (model(config.clone()), config.vision_cfg.image_size);
        let graphs = written(&model, Precision::F32);
        let mut found = HashMap::new();
        for Graph { graph, metadata_props, .. } in &graphs {
            let graph = graph.as_ref().unwrap();
            found.extend(graph.initializer.iter().map(|tensor| (tensor.name.clone(), tensor)));
            assert!(metadata_props.iter().any(|entry| entry.key == "logit_scale"));
        }
        let is_read = |(name, spec, _): &(String, Spec, _)| spec.role != Role::Count && name != "logit_scale";
        let parameters: Vec<_> = model.params.named(&Path::ROOT).into_iter().filter(is_read).collect();
        assert!(parameters.len() > 40);
        for (name, spec, values) in parameters {
            let tensor = found.remove(&name).unwrap_or_else(|| panic!("no {name}"));
            let sizes: Vec<_> = tensor.dims.iter().map(|&size| size as usize).collect();
            assert_eq!((sizes, tensor.data_type()), (spec.shape, Type::Float), "{name}");
            assert!(array(tensor).iter().zip(values).all(|(&a, &b)| a == f64::from(b)), "{name}");
        }
        assert!(found.keys().all(|name| name.starts_with("constant_")), "{:?}", found.keys());
        let [visual, textual] = graphs.map(|graph| graph.graph.unwrap());
        let embeds = |name: &str, many: &str| (name.into(), Type::Float, format!("{many},{}", config.embed_dim));
        let pixels = format!("pictures,3,{edge},{edge}");
        assert_eq!(described(&visual.input[0]), ("pixel_values".into(), Type::Float, pixels));
        assert_eq!(described(&visual.output[0]), embeds("image_embeds", "pictures"));
        assert_eq!(described(&textual.input[0]), ("input_ids".into(), Type::Int64, "texts,tokens".into()));
        assert_eq!(described(&textual.output[0]), embeds("text_embeds", "texts"));
    }
}

/// What the graphs compute in f64 and the towers in f32 differs by rounding; behind so few layers it is this much.
const TOLERANCE: f64 = 1e-5;

#[track_caller]
fn assert_near(found: &ArrayD<f64>, expected: &Array2<f32>) {
    assert_eq!(found.shape(), expected.shape());
    let apart = found.iter().zip(expected).fold(0.0f64, |max, (a, &b)| (a - f64::from(b)).abs().max(max));
    assert!(apart < TOLERANCE, "{apart}");
}

#[test]
fn the_graphs_embed_as_the_towers_do() {
    let gelu = Config { quick_gelu: false, ..config(16) };
    for config in [config(16), gelu, resnet(4)] {
        let (edge, mut model) = (config.vision_cfg.image_size, model(config));
        let images = Array2::from_shape_fn((3, 3 * edge * edge), |(i, j)| ((i * 31 + j * 17) % 23) as f32 / 8.0 - 1.4);
        let pixels = images.mapv(f64::from).into_shape_with_order(vec![3, 3, edge, edge]).unwrap();
        let texts: [&[u32]; 3] = [&[298, END], &[298, 7, 12, 299], &[298, 45, 3, 200, 11, 150, END]];
        let (ids, offsets) = (texts.concat(), [0, 2, 6, 13]);
        for precision in [Precision::F32, Precision::F16] {
            let [visual, textual] = written(&model, precision);
            if precision == Precision::F16 {
                // The graph computes with what was stored.
                model.params.flat.iter_mut().for_each(|x| *x = half::f16::from_f32(*x).to_f32());
            }
            let mut buffers = Inference::default();
            assert_near(&run(&visual, pixels.clone()), &model.encode_images(images.view(), &mut buffers));
            let expected = model.encode_texts(Captions { ids: &ids, offsets: &offsets }, &mut buffers);
            for (length, padding) in [(7, 0), (9, END), (20, 250)] {
                let id = |(i, j): (usize, usize)| f64::from(texts[i].get(j).copied().unwrap_or(padding));
                assert_near(&run(&textual, Array2::from_shape_fn((3, length), id).into_dyn()), &expected);
            }
        }
    }
}

#[test]
fn a_value_that_16_bits_cannot_hold_is_named() {
    let mut model = model(config(16));
    model.params.flat[0] = 1e5;
    let (folder, file) = (tempfile::tempdir().unwrap(), ConfigFile::new(model.config.clone()));
    let error = save(folder.path(), Contents { model: &model, config: &file }, END, Precision::F16).unwrap_err();
    assert!(
        matches!(&error, CheckpointError::TooLarge { tensor, .. } if tensor == "visual.class_embedding"),
        "{error}"
    );
    assert!(!folder.path().join(VISUAL).exists());
}
