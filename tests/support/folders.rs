//! Model folders for tests, with ways to change and break them.

use super::tiny::config;
use clipwright::checkpoint::safetensors::{Reader, Tensor, write};
use clipwright::checkpoint::{
    Checkpoint, CheckpointError, ConfigFile, Contents, Dtype, Format, Overrides, Precision, save,
};
use clipwright::models::clip::model::Model;
use serde_json::Value;
use std::borrow::Cow;
use std::fs;
use std::path::Path;

pub const HF_WEIGHTS: &str = "model.safetensors";
pub const HF_CONFIG: &str = "config.json";

pub fn model() -> (Model, ConfigFile) {
    let config = config(64);
    (Model::new(config.clone(), 3), ConfigFile::new(config))
}

pub fn saved(format: Format, precision: Precision) -> (tempfile::TempDir, Model) {
    let folder = tempfile::tempdir().unwrap();
    let (model, file) = model();
    save(folder.path(), Contents { model: &model, config: &file }, format, precision).unwrap();
    (folder, model)
}

pub fn open(path: &Path) -> Result<Checkpoint, CheckpointError> {
    Checkpoint::open(path, &Overrides::default())
}

pub fn error_of(path: &Path) -> String {
    open(path).and_then(|checkpoint| checkpoint.model()).map(|_| ()).unwrap_err().to_string()
}

/// Reads all tensors of a file, by name.
pub fn tensors(path: &Path) -> Vec<Tensor<'static>> {
    let reader = Reader::open(path).unwrap();
    let tensor = |name: String| {
        let shape = reader.shape(&name).unwrap().to_vec();
        let mut values = vec![0.0; shape.iter().product()];
        reader.read(&name, &shape, &mut values).unwrap();
        Tensor { name, shape, values: Cow::Owned(values), dtype: Dtype::F32 }
    };
    reader.names().into_iter().map(tensor).collect()
}

/// Reads the tensors of a file, changes them and writes them again.
pub fn rewrite(path: &Path, change: impl Fn(Tensor<'static>) -> Option<Tensor<'static>>) {
    let changed: Vec<_> = tensors(path).into_iter().filter_map(change).collect();
    write(path, &changed, []).unwrap();
}

pub fn edit(path: &Path, change: impl Fn(&mut Value)) {
    let mut json = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut json);
    fs::write(path, json.to_string()).unwrap();
}
