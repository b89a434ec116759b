//! Writes a graph with its parameters. They go from the model to the disk in pieces, because a message that holds all of
//! them would take their memory once more, and its bytes a third time.

use super::proto::{Entry, Location, Model, Tensor as Message, Type};
use crate::checkpoint::safetensors::{Tensor, check_values};
use crate::checkpoint::{CheckpointError, Dtype};
use crate::files::write_atomic;
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};
use std::path::Path;

/// Most bytes of a file, since readers of such messages count them with 31 bits.
pub const MAX_BYTES: usize = i32::MAX as usize;

/// Where numbers may begin in a file of their own, so that readers can map them into memory.
const PAGE: usize = 4096;

/// The numbers of the fields that are written in pieces: a model's graph, its parameters, and the numbers of one.
const GRAPH: u32 = 7;
const INITIALIZER: u32 = 5;
const RAW_DATA: u32 = 9;

/// Writes a model, to whose graph these parameters are added. If the file had more than `max` bytes, the numbers lie in a
/// file beside it, which has `.data` behind its name.
///
/// # Errors
/// Returns an error if a value is too large for its type, or if a file cannot be written.
pub fn write(path: &Path, mut model: Model, parameters: &[Tensor], max: usize) -> Result<(), CheckpointError> {
    check_values(path, parameters)?;
    let io = |path: &Path| {
        let path = path.into();
        move |source| CheckpointError::Io { path, source }
    };
    let mut graph = model.graph.take().unwrap_or_default();
    let heads: Vec<_> = parameters.iter().map(head).collect();
    let behind: usize = heads.iter().map(Vec::len).chain(parameters.iter().map(Tensor::bytes)).sum();
    let mut start = model.encode_to_vec();
    start.extend(prefix(GRAPH, graph.encoded_len() + behind));
    graph.encode(&mut start).expect("a vector grows");
    if start.len() + behind <= max {
        return write_atomic(path, |out| {
            out.write_all(&start)?;
            heads.iter().zip(parameters).try_for_each(|(head, parameter)| {
                out.write_all(head)?;
                parameter.write(out)
            })
        })
        .map_err(io(path));
    }
    let name = format!("{}.data", path.file_name().unwrap_or_default().display());
    let data = path.with_file_name(&name);
    write_atomic(&data, |out| {
        parameters.iter().try_for_each(|parameter| {
            parameter.write(out)?;
            out.write_all(&vec![0; padding(parameter)])
        })
    })
    .map_err(io(&data))?;
    let mut offset = 0;
    graph.initializer.extend(parameters.iter().map(|parameter| {
        let start = offset;
        offset += parameter.bytes() + padding(parameter);
        elsewhere(parameter, &name, start)
    }));
    model.graph = Some(graph);
    write_atomic(path, |out| out.write_all(&model.encode_to_vec())).map_err(io(path))
}

/// Returns how many zeros follow a parameter in a file of numbers.
fn padding(parameter: &Tensor) -> usize {
    parameter.bytes().next_multiple_of(PAGE) - parameter.bytes()
}

/// Returns the message of a parameter without its numbers.
fn message(parameter: &Tensor) -> Message {
    let data_type = if parameter.dtype == Dtype::F16 { Type::Float16 } else { Type::Float };
    let dims = parameter.shape.iter().map(|&size| size as i64).collect();
    Message { name: parameter.name.clone(), dims, data_type: data_type.into(), ..Message::default() }
}

/// Returns the message of a parameter whose numbers lie in another file.
fn elsewhere(parameter: &Tensor, file: &str, offset: usize) -> Message {
    let entry = |key: &str, value: String| Entry { key: key.into(), value };
    let (offset, length) = (offset.to_string(), parameter.bytes().to_string());
    let external_data = vec![entry("location", file.into()), entry("offset", offset), entry("length", length)];
    Message { external_data, data_location: Some(Location::External.into()), ..message(parameter) }
}

/// Returns what stands before the numbers of a parameter, as a field of the graph.
fn head(parameter: &Tensor) -> Vec<u8> {
    let mut message = message(parameter).encode_to_vec();
    message.extend(prefix(RAW_DATA, parameter.bytes()));
    [prefix(INITIALIZER, message.len() + parameter.bytes()), message].concat()
}

/// Returns what stands before a field of `len` bytes.
fn prefix(field: u32, len: usize) -> Vec<u8> {
    let mut bytes = vec![];
    encode_key(field, WireType::LengthDelimited, &mut bytes);
    encode_varint(len as u64, &mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::onnx::proto::{Graph, Node};
    use std::fs;

    /// Writes two parameters, which differ in type and length; returns the model that is read back.
    fn written(path: &Path, max: usize) -> Model {
        let (wide, narrow) = ([1.0, -2.5, 3.0], vec![0.5; 3000]);
        let parameters =
            [Tensor::new("wide", &[3], &wide, Dtype::F32), Tensor::new("narrow", &[2, 1500], &narrow, Dtype::F16)];
        let node = Node { op_type: "Add".into(), ..Node::default() };
        let graph = Graph { name: "sum".into(), node: vec![node], ..Graph::default() };
        let model = Model { ir_version: 8, graph: Some(graph), ..Model::default() };
        write(path, model, &parameters, max).unwrap();
        Model::decode(&fs::read(path).unwrap()[..]).unwrap()
    }

    #[test]
    fn parameters_are_a_part_of_the_message() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sum.onnx");
        let model = written(&path, MAX_BYTES);
        assert_eq!((model.ir_version, fs::read_dir(folder.path()).unwrap().count()), (8, 1));
        // As prost itself encodes the message.
        assert!(model.encode_to_vec() == fs::read(&path).unwrap());
        let graph = model.graph.unwrap();
        assert_eq!((graph.name.as_str(), graph.node[0].op_type.as_str()), ("sum", "Add"));
        let [wide, narrow] = &graph.initializer[..] else { panic!("two") };
        assert_eq!((wide.name.as_str(), &wide.dims[..], wide.data_type()), ("wide", &[3][..], Type::Float));
        assert_eq!(wide.raw_data(), [1.0_f32, -2.5, 3.0].map(f32::to_le_bytes).concat());
        assert_eq!((&narrow.dims[..], narrow.data_type()), (&[2, 1500][..], Type::Float16));
        assert_eq!(narrow.raw_data(), [0x00, 0x38].repeat(3000));
    }

    #[test]
    fn parameters_lie_in_a_file_of_their_own_where_a_message_has_no_room() {
        let folder = tempfile::tempdir().unwrap();
        let [here, there] = ["here.onnx", "there.onnx"].map(|name| folder.path().join(name));
        let whole = written(&here, MAX_BYTES).graph.unwrap().initializer;
        let limit = fs::metadata(&here).unwrap().len() as usize;
        written(&here, limit);
        assert!(!folder.path().join("here.onnx.data").exists(), "as many bytes as fit");
        let apart = written(&there, limit - 1).graph.unwrap().initializer;
        let data = fs::read(folder.path().join("there.onnx.data")).unwrap();
        for (whole, apart) in whole.iter().zip(&apart) {
            let value = |key: &str| apart.external_data.iter().find(|entry| entry.key == key).unwrap().value.clone();
            let [offset, length] = ["offset", "length"].map(|key| value(key).parse::<usize>().unwrap());
            assert_eq!((value("location").as_str(), offset % PAGE), ("there.onnx.data", 0));
            assert_eq!((apart.data_location(), apart.raw_data()), (Location::External, &[][..]));
            assert_eq!(&data[offset..][..length], whole.raw_data(), "{}", whole.name);
        }
        assert_eq!((apart.len(), data.len()), (2, 3 * PAGE));
    }
}
