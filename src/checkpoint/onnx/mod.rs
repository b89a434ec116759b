//! Writes both towers of a CLIP as ONNX graphs, which ONNX Runtime, OpenVINO and others run.
//!
//! | file | input | output |
//! |---|---|---|
//! | `visual.onnx` | `pixel_values`: prepared pictures, as `open_clip_config.json` beside it says | `image_embeds` |
//! | `textual.onnx` | `input_ids`: tokens from the start of a text to its end, padded behind with whatever | `text_embeds` |
//!
//! Embeddings are of unit length. The number of pictures or texts is free, and so is that of tokens up to the context's
//! length; the size of pictures is fixed. Parameters keep the names and shapes of OpenAI's checkpoints.
//!
//! | file of code | what it knows |
//! |---|---|
//! | [`proto`] | the messages of the format |
//! | `graph` | a graph that grows node by node, and layers that towers share |
//! | `transformer`, `towers` | the blocks, and the Transformers around them |
//! | `resnet` | the ResNets |
//! | `write` | a graph and its parameters on the disk |

mod graph;
pub mod proto;
mod resnet;
mod towers;
mod transformer;
mod write;

use super::safetensors::Tensor;
use super::{CONFIG, CheckpointError, Contents, Precision};
use crate::models::clip::model::Model;
use crate::models::clip::visual::{Shape, Visual};
use crate::tree::Path as TreePath;
use graph::{Graph, value};
use proto::Extent::{self, Fixed, Named};
use proto::{Entry, Operators, Type};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The names of the files.
pub const VISUAL: &str = "visual.onnx";
pub const TEXTUAL: &str = "textual.onnx";

/// The newest operator is LayerNormalization, which came with this version; ONNX Runtime 1.13 (2022) and later have it.
const OPERATORS: i64 = 17;

/// The version of the format that came with these operators.
const FORMAT: i64 = 8;

/// Writes a folder with both towers and the configuration, which comes last. `end_of_text` is the token that ends a text.
///
/// # Errors
/// Returns an error if a value does not fit the type, or if a file cannot be written.
pub fn save(folder: &Path, contents: Contents, end_of_text: u32, precision: Precision) -> Result<(), CheckpointError> {
    let Contents { model, config } = contents;
    fs::create_dir_all(folder).map_err(|source| CheckpointError::Io { path: folder.into(), source })?;
    let preprocess = serde_json::to_string(&config.preprocess_cfg).expect("plain data");
    write(&folder.join(VISUAL), model, image_tower(model, precision), ("preprocess_cfg", preprocess), precision)?;
    let end = ("end_of_text", end_of_text.to_string());
    write(&folder.join(TEXTUAL), model, text_tower(model, end_of_text, precision), end, precision)?;
    config.write(&folder.join(CONFIG))
}

/// A tower's nodes, and the names, types and sizes of what goes in and comes out.
type Tower = (Graph, (&'static str, Type, Vec<Extent>), &'static str);

fn image_tower(model: &Model, precision: Precision) -> Tower {
    const INPUT: &str = "pixel_values";
    const OUTPUT: &str = "image_embeds";
    let mut graph = Graph::new(precision);
    let p = graph.parameters(&model.params.spec.visual, &TreePath::at("visual"));
    match (&p, &model.config.vision()) {
        (Visual::Vit(p), Shape::Vit(shape)) => graph.vit(p, shape, INPUT, OUTPUT),
        (Visual::ResNet(p), Shape::ResNet(shape)) => graph.resnet(p, shape, INPUT, OUTPUT),
        (_, shape) => panic!("the parameters are not of {shape:?}"),
    }
    let edge = Fixed(model.config.vision_cfg.image_size as i64);
    (graph, (INPUT, Type::Float, vec![Named("pictures".into()), Fixed(3), edge.clone(), edge]), OUTPUT)
}

fn text_tower(model: &Model, end_of_text: u32, precision: Precision) -> Tower {
    const INPUT: &str = "input_ids";
    const OUTPUT: &str = "text_embeds";
    let mut graph = Graph::new(precision);
    let p = graph.parameters(&model.params.spec.text, &TreePath::ROOT);
    graph.text(&p, &model.config.text(), end_of_text, INPUT, OUTPUT);
    (graph, (INPUT, Type::Int64, ["texts", "tokens"].map(|size| Named(size.into())).into()), OUTPUT)
}

/// Writes a tower with those parameters of the model that its nodes take.
fn write(
    path: &Path,
    model: &Model,
    (graph, (input, of, sizes), output): Tower,
    note: (&str, String),
    precision: Precision,
) -> Result<(), CheckpointError> {
    let taken: BTreeSet<_> = graph.nodes.iter().flat_map(|node| &node.input).cloned().collect();
    let parameters = model.params.named(&TreePath::ROOT).into_iter().filter(|(name, ..)| taken.contains(name));
    let parameters: Vec<_> =
        parameters.map(|(name, spec, values)| Tensor::new(&name, &spec.shape, values, precision.into())).collect();
    let features = [sizes[0].clone(), Fixed(model.config.embed_dim as i64)];
    let graph = proto::Graph {
        name: path.file_stem().unwrap_or_default().to_string_lossy().into(),
        node: graph.nodes,
        initializer: graph.constants,
        input: vec![value(input, of, &sizes)],
        output: vec![value(output, Type::Float, &features)],
    };
    let scale = ("logit_scale", model.params.view().logit_scale[0].to_string());
    let message = proto::Model {
        ir_version: FORMAT,
        producer_name: env!("CARGO_PKG_NAME").into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        opset_import: vec![Operators { domain: String::new(), version: OPERATORS }],
        metadata_props: [note, scale].map(|(key, value)| Entry { key: key.into(), value }).into(),
        graph: Some(graph),
    };
    write::write(path, message, &parameters, write::MAX_BYTES)
}
