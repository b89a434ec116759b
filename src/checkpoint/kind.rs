//! Tells from the names of a file's tensors which kind of model it is.
//!
//! No family is asked: a few names tell, behind whatever prefix they stand.

use super::tensors::TensorFiles;
use super::{CheckpointError, locate};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// A kind of model whose checkpoints can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    #[default]
    Clip,
    Blip,
}

impl Kind {
    /// Whether it is a CLIP.
    pub(crate) fn is_clip(&self) -> bool {
        *self == Kind::Clip
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(if self.is_clip() { CLIP.0 } else { BLIP.0 })
    }
}

/// What a file is, as messages name it, and the kind that it can be read as.
type Told = (&'static str, Option<Kind>);

const CLIP: Told = ("a CLIP", Some(Kind::Clip));
const BLIP: Told = ("a BLIP", Some(Kind::Blip));
const NLVR2: Told = ("a BLIP for NLVR2, which compares two pictures", None);
const BLIP_2: Told = ("a BLIP-2, whose Q-Former is another model than BLIP", None);
const BLIP_MODEL: Told =
    ("a BlipModel of transformers, whose projections and pooled texts no published file has", None);

const TRUNK: Told =
    ("an image tower of timm alone; that of a whole SigLIP, as OpenCLIP and transformers write it, can be read", None);
const NAFLEX: Told = ("a SigLIP 2 for pictures of any proportions (NaFlex), whose grids of patches vary", None);

/// The patch embedding of Hugging Face's towers; that of NaFlex is a matrix.
const PATCHES: &str = "embeddings.patch_embedding.weight";

/// Returns the kind of model that a path or name leads to, or `None` if its tensors are of neither kind. No values are
/// read.
///
/// # Errors
/// Returns an error if there is no file of weights, if it cannot be read, or if it is a relative of CLIP or BLIP that
/// cannot.
pub fn kind(path: &Path) -> Result<Option<Kind>, CheckpointError> {
    let (path, _) = locate::weights(path)?;
    match tell(&TensorFiles::open(&path)?) {
        None => Ok(None),
        Some((_, Some(kind))) => Ok(Some(kind)),
        Some((what, None)) => Err(CheckpointError::OtherModel { path, what, wanted: "a CLIP or a BLIP" }),
    }
}

/// Refuses a file whose names are those of another kind of model. Names that tell nothing pass.
pub(super) fn check(files: &TensorFiles, wanted: Kind) -> Result<(), CheckpointError> {
    match tell(files) {
        Some((what, kind)) if kind != Some(wanted) => {
            let wanted = if wanted.is_clip() { CLIP.0 } else { BLIP.0 };
            Err(CheckpointError::OtherModel { path: files.path().into(), what, wanted })
        }
        _ => Ok(()),
    }
}

/// Returns what the names tell, and for a SigLIP 2 the shape of its patch embedding.
fn tell(files: &TensorFiles) -> Option<Told> {
    let names = files.names();
    // A name has these parts if they begin it, or follow a dot.
    let has = |parts: &str| {
        let is_start = |name: &str, at: usize| at == 0 || name.as_bytes()[at - 1] == b'.';
        names.iter().any(|name| name.match_indices(parts).any(|(at, _)| is_start(name, at)))
    };
    let any = |of: &[&str]| of.iter().any(|parts| has(parts));
    let is_matrix = |name: &String| name.ends_with(PATCHES) && files.shape(name).is_some_and(|shape| shape.len() == 2);
    if any(&["Qformer.", "qformer."]) {
        Some(BLIP_2)
    } else if has("crossattention.self0.") {
        Some(NLVR2)
    } else if has("text_model.encoder.layer.") && has("self_attn.qkv.") {
        Some(BLIP_MODEL)
    } else if any(&["visual_encoder.blocks.", "self_attn.qkv.", "crossattention.self."]) {
        Some(BLIP)
    } else if names.iter().any(is_matrix) {
        Some(NAFLEX)
    } else if has("attn_pool.latent") && !has("trunk.attn_pool.") {
        Some(TRUNK)
    } else if any(&["trunk.attn_pool.", "transformer.resblocks.", "attnpool.", "text_model.", "vision_model."]) {
        Some(CLIP)
    } else {
        None
    }
}
