//! The fields that configurations of Hugging Face's classes have in common.

use super::ConfigFileError;
use kernels::Activation;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Returns a section of the file, overridden by the section of the same name with `_dict` behind it.
pub(crate) fn merged(file: &Value, name: &str) -> Result<Value, ConfigFileError> {
    let mut section = Map::new();
    for name in [name.to_string(), format!("{name}_dict")] {
        match &file[&name] {
            Value::Null => {}
            Value::Object(fields) => {
                let fields = fields.iter().filter(|(_, value)| !value.is_null());
                section.extend(fields.map(|(name, value)| (name.clone(), value.clone())));
            }
            other => return Err(unfit(&name, other)),
        }
    }
    Ok(Value::Object(section))
}

/// Returns the error of a field with a value that it cannot have.
pub(crate) fn unfit(field: &str, value: &Value) -> ConfigFileError {
    ConfigFileError::Field { field: field.into(), value: value.clone() }
}

/// Returns the fields of a section.
pub(crate) fn section<T: for<'de> Deserialize<'de>>(fields: &Value) -> Result<T, ConfigFileError> {
    Ok(T::deserialize(fields)?)
}

/// Returns the activation of this name.
pub(crate) fn activation(name: &str) -> Result<Activation, ConfigFileError> {
    match name {
        "quick_gelu" => Ok(Activation::QuickGelu),
        "gelu" => Ok(Activation::Gelu),
        "gelu_pytorch_tanh" | "gelu_new" => Ok(Activation::GeluTanh),
        other => Err(ConfigFileError::Activation { hidden_act: other.into() }),
    }
}

/// Returns the ε of a LayerNorm.
pub(crate) fn eps(eps: f64) -> Result<f32, ConfigFileError> {
    let fits = |eps: &f32| (0.0..1.0).contains(eps) && *eps > 0.0;
    Some(eps as f32).filter(fits).ok_or(ConfigFileError::Range { field: "layer_norm_eps", value: eps })
}

/// Returns the ε of label smoothing, a share.
pub(crate) fn label_smoothing(share: f64) -> Result<f32, ConfigFileError> {
    let fits = (0.0..=1.0).contains(&share);
    fits.then_some(share as f32).ok_or(ConfigFileError::Range { field: "label_smoothing", value: share })
}

/// Returns the name of an activation.
pub(crate) fn activation_name(activation: Activation) -> &'static str {
    match activation {
        Activation::QuickGelu => "quick_gelu",
        Activation::Gelu => "gelu",
        Activation::GeluTanh => "gelu_pytorch_tanh",
    }
}
