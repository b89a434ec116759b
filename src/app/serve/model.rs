//! The model that is served, and what has to be known of it to ask it.

use crate::app::commands::ranking::Logits;
use crate::embed::{Clip, Family, Load};
use crate::index::ModelId;
use crate::pictures::{Reading, View};
use std::path::Path;

/// The model with its names.
pub(in crate::app) struct Model {
    family: Family<Clip>,
    id: ModelId,
    /// The name that requests may say.
    name: String,
    logits: Logits,
}

impl Model {
    pub fn new(family: Family<Clip>, id: ModelId, logits: Logits) -> Self {
        let name = name(Path::new(&id.path));
        Model { family, id, name, logits }
    }

    pub fn family(&self) -> &Family<Clip> {
        &self.family
    }

    pub fn id(&self) -> &ModelId {
        &self.id
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns how cosines become probabilities.
    pub fn logits(&self) -> Logits {
        self.logits
    }

    /// Returns e, the width of the embeddings.
    pub fn embed_dim(&self) -> usize {
        self.family.embed_dim()
    }

    /// Returns what is looked at of a picture.
    pub fn view(&self, reading: Reading) -> View {
        View { reading, ..View::of(self.family.preprocess()) }
    }

    /// Returns the load of texts.
    pub fn texts_load(&self, texts: &[String]) -> Load {
        let tokens = texts.iter().map(|text| self.family.tokens(text)).sum();
        self.family.texts_load(texts.len(), tokens)
    }
}

/// Returns what people call the model at a path: its name in the Hugging Face cache, or else its folder, since files of
/// weights all have the same names.
fn name(path: &Path) -> String {
    let cached = path.ancestors().filter_map(|folder| folder.file_name()?.to_str()?.strip_prefix("models--"));
    if let Some(name) = cached.last() {
        return name.replace("--", "/");
    }
    let folder = if path.is_dir() { Some(path) } else { path.parent() };
    folder.and_then(Path::file_name).unwrap_or(path.as_os_str()).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_called_by_their_folders_or_by_their_names_in_the_cache() {
        for (path, called) in [
            ("/models/ViT-B-32/open_clip_model.safetensors", "ViT-B-32"),
            (
                "/hub/models--openai--clip-vit-base-patch32/snapshots/3d/model.safetensors",
                "openai/clip-vit-base-patch32",
            ),
            ("model.pt", "model.pt"),
        ] {
            assert_eq!(name(Path::new(path)), called, "{path}");
        }
    }
}
