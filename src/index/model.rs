//! The identity of the model that an index was made with.

use crate::checkpoint::Kind;
use kernels::Activation;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The identity of a model, which does not depend on where its files are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelId {
    /// The path that the model was loaded from. It is shown to people, and a search that names no model tries it.
    pub path: String,
    /// The family of the model. An index that does not say it was made with a CLIP.
    #[serde(default, skip_serializing_if = "Kind::is_clip")]
    pub kind: Kind,
    /// Whether a CLIP's towers have this activation.
    pub quick_gelu: bool,
    /// Whether the GELU of a tower has the form with the hyperbolic tangent, as its configuration says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gelu_tanh: bool,
    /// The digest of the architecture, of the preparation of pictures, and of pieces spread evenly over the files of
    /// weights.
    pub fingerprint: String,
}

impl ModelId {
    /// Returns whether the embeddings of both models can be compared.
    pub(crate) fn is_same(&self, other: &ModelId) -> bool {
        self.fingerprint == other.fingerprint
    }

    /// Returns the activation of a CLIP, with which it has to be opened again, if its configuration may say another.
    pub fn activation(&self) -> Option<Activation> {
        let activation = if self.quick_gelu { Activation::QuickGelu } else { Activation::Gelu };
        (!self.gelu_tanh).then_some(activation)
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} ({}, {})", self.path, self.kind, self.fingerprint)
    }
}
