//! Writing a model as other libraries load it.

use super::dtype::{Dtype, Precision};
use super::names::{Place, Scheme};
use super::openclip::ConfigFile;
use super::safetensors::{Tensor, write};
use super::weights::transpose;
use super::{CONFIG, CheckpointError, WEIGHTS, hugging_face, preprocessor, tokenizer_files};
use crate::files::write_atomic;
use crate::models::clip::model::Model;
use crate::params::{Params, Role, Spec};
use crate::tree::{Path as TreePath, Tree};
use serde::Serialize;
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;
use std::fs;
use std::path::Path;

/// Whose folder to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `open_clip_config.json` and `open_clip_model.safetensors`, under OpenAI's names.
    OpenClip,
    /// `config.json`, `preprocessor_config.json`, `model.safetensors` and the tokenizer's files.
    HuggingFace,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Format::OpenClip => "OpenCLIP",
            Format::HuggingFace => "Hugging Face",
        })
    }
}

/// Writes a model folder that OpenCLIP itself can load, in f32.
pub fn save_model(folder: &Path, model: &Model, config: &ConfigFile) -> Result<(), CheckpointError> {
    save(folder, model, config, Format::OpenClip, Precision::F32)
}

/// Writes a model folder, which is made if need be, each file whole or not at all, the configuration last.
///
/// # Errors
/// If a file cannot be written, a value does not fit the type, or Hugging Face's classes cannot express the model.
pub fn save(
    folder: &Path,
    model: &Model,
    config: &ConfigFile,
    format: Format,
    precision: Precision,
) -> Result<(), CheckpointError> {
    match format {
        Format::OpenClip => {
            make(folder)?;
            write_tensors(&folder.join(WEIGHTS), &model.params, &Scheme::openai(), precision.into())?;
            config.write(&folder.join(CONFIG))
        }
        Format::HuggingFace => {
            let cannot = |reason: &str| CheckpointError::Config { path: folder.into(), reason: reason.into() };
            let preprocessor = preprocessor::write(&config.preprocess_cfg)
                .ok_or_else(|| cannot("Hugging Face's CLIPImageProcessor cannot pad pictures to a square"))?;
            let described = hugging_face::write(&config.model_cfg, precision)
                .ok_or_else(|| cannot("Hugging Face's CLIPModel cannot be a ResNet"))?;
            make(folder)?;
            write_tensors(&folder.join("model.safetensors"), &model.params, &Scheme::hugging_face(), precision.into())?;
            tokenizer_files::write(folder, &config.model_cfg.text_cfg)?;
            write_json(&folder.join("preprocessor_config.json"), &preprocessor)?;
            write_json(&folder.join("config.json"), &described)
        }
    }
}

fn make(folder: &Path) -> Result<(), CheckpointError> {
    fs::create_dir_all(folder).map_err(|source| CheckpointError::Io { path: folder.into(), source })
}

fn write_tensors<S: Tree<Leaf = Spec>>(
    path: &Path,
    params: &Params<S>,
    scheme: &Scheme,
    dtype: Dtype,
) -> Result<(), CheckpointError> {
    let mut tensors = vec![];
    for (name, spec, values) in params.named(&TreePath::ROOT) {
        let place =
            scheme.place(&name).ok_or_else(|| CheckpointError::NoName { path: path.into(), tensor: name.clone() })?;
        let dtype = if spec.role == Role::Count { Dtype::I64 } else { dtype };
        tensors.extend(placed(place, spec.shape, values, dtype));
    }
    write(path, &tensors, [("format", "pt")])
}

/// A tensor of ours as it stands in the file.
fn placed(place: Place, shape: Vec<usize>, values: &[f32], dtype: Dtype) -> Vec<Tensor<'_>> {
    match place {
        Place::Whole(name) => vec![Tensor { name, shape, values: Cow::Borrowed(values), dtype }],
        Place::Transposed(name) => {
            let mut transposed = vec![0.0; values.len()];
            transpose(values, shape[0], &mut transposed);
            let shape = shape.into_iter().rev().collect();
            vec![Tensor { name, shape, values: Cow::Owned(transposed), dtype }]
        }
        Place::Thirds(names) => {
            let shape = [&[shape[0] / 3], &shape[1..]].concat();
            let third = |(name, values)| Tensor { name, shape: shape.clone(), values: Cow::Borrowed(values), dtype };
            names.into_iter().zip(values.chunks_exact(values.len() / 3)).map(third).collect()
        }
        Place::Identity => vec![],
    }
}

/// Writes a JSON file, whole or not at all.
pub(super) fn write_json(path: &Path, value: &Value) -> Result<(), CheckpointError> {
    write_atomic(path, |out| {
        serde_json::to_writer_pretty(&mut *out, value)?;
        writeln!(out)
    })
    .map_err(|source| CheckpointError::Io { path: path.into(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::load_params;
    use crate::checkpoint::safetensors::Reader;
    use crate::params::Init;
    use crate::tree::tree;

    tree!(Words { table as "words.weight" also "head.weight", bias });
    tree!(Tied { text as "encoder" also "decoder": Words, scale });

    const NAMES: [&str; 7] = [
        "decoder.bias",
        "decoder.head.weight",
        "decoder.words.weight",
        "encoder.bias",
        "encoder.head.weight",
        "encoder.words.weight",
        "scale",
    ];

    fn tied() -> Tied<Spec> {
        let init = Init::Normal(1.0);
        Tied {
            text: Words { table: Spec::table(5, 3, init), bias: Spec::new(&[5], init) },
            scale: Spec::new(&[], init),
        }
    }

    /// What a file holds whose tensors were given to `change`: the parameters, or what is wrong with it.
    fn read_changed(change: impl Fn(&mut Vec<Tensor>)) -> Result<Params<Tied<Spec>>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tied.safetensors");
        let params = Params::init(tied(), 1);
        let mut tensors = vec![];
        for (name, spec, values) in params.named(&TreePath::ROOT) {
            tensors.extend(placed(Place::Whole(name), spec.shape, values, Dtype::F32));
        }
        change(&mut tensors);
        write(&path, &tensors, []).unwrap();
        load_params(&path, tied(), &TreePath::ROOT).map_err(|error| error.to_string())
    }

    #[test]
    fn a_tied_tensor_is_written_under_all_its_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tied.safetensors");
        let params = Params::init(tied(), 1);
        write_tensors(&path, &params, &Scheme::openai(), Dtype::F32).unwrap();
        let file = Reader::open(&path).unwrap();
        let mut names = file.names();
        names.sort();
        assert_eq!(names, NAMES);
        for name in &names[1..3] {
            let mut table = [0.0; 15];
            file.read(name, &[5, 3], &mut table).unwrap();
            assert_eq!(table, params.view().text.table, "{name}");
        }
        assert!(load_params(&path, tied(), &TreePath::ROOT).unwrap().flat == params.flat);
    }

    /// Some libraries write one name of a tied tensor only.
    #[test]
    fn one_name_of_a_tied_tensor_is_enough() {
        for kept in ["encoder.words", "encoder.head", "decoder.words", "decoder.head"] {
            let keep = |name: &str| name.starts_with(kept) || !name.ends_with("weight");
            let read = read_changed(|tensors| tensors.retain(|tensor| keep(&tensor.name))).unwrap();
            assert!(read.flat == Params::init(tied(), 1).flat, "{kept}");
        }
        let missing = read_changed(|tensors| tensors.retain(|tensor| !tensor.name.ends_with("weight")));
        assert!(missing.unwrap_err().ends_with("tensor encoder.words.weight is missing"));
    }

    #[test]
    fn tied_tensors_that_differ_are_named() {
        let spoil = |name: &'static str| {
            move |tensors: &mut Vec<Tensor>| {
                let tensor = tensors.iter_mut().find(|tensor| tensor.name == name).unwrap();
                tensor.values.to_mut()[3] += 1.0;
            }
        };
        for name in ["encoder.head.weight", "decoder.words.weight", "decoder.head.weight"] {
            let error = read_changed(spoil(name)).unwrap_err();
            assert!(error.ends_with(&format!("encoder.words.weight and {name} are one in this model, and differ")));
        }
        assert!(read_changed(spoil("decoder.bias")).unwrap_err().contains("encoder.bias and decoder.bias"));
        let shorter = read_changed(|tensors| {
            let tensor = tensors.iter_mut().find(|tensor| tensor.name == "decoder.bias").unwrap();
            tensor.shape = vec![4];
            tensor.values.to_mut().truncate(4);
        });
        assert!(shorter.unwrap_err().contains("decoder.bias has shape [4]"));
    }
}
