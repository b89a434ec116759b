//! The fields that configurations of Hugging Face's classes have in common.

use kernels::Activation;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Returns a section of the file, overridden by the section of the same name with `_dict` behind it.
pub(crate) fn merged(file: &Value, name: &str) -> Result<Value, String> {
    let mut section = Map::new();
    for name in [name.to_string(), format!("{name}_dict")] {
        match &file[&name] {
            Value::Null => {}
            Value::Object(fields) => {
                let fields = fields.iter().filter(|(_, value)| !value.is_null());
                section.extend(fields.map(|(name, value)| (name.clone(), value.clone())));
            }
            other => return Err(format!("{name} is {other}")),
        }
    }
    Ok(Value::Object(section))
}

/// Returns the fields of a section.
pub(crate) fn section<T: for<'de> Deserialize<'de>>(fields: &Value) -> Result<T, String> {
    T::deserialize(fields).map_err(|e| e.to_string())
}

/// Returns the activation of this name.
pub(crate) fn activation(name: &str) -> Result<Activation, String> {
    match name {
        "quick_gelu" => Ok(Activation::QuickGelu),
        "gelu" => Ok(Activation::Gelu),
        other => Err(format!("hidden_act is {other:?}; quick_gelu and gelu are known")),
    }
}

/// Returns the ε of a LayerNorm.
pub(crate) fn eps(eps: f64) -> Result<f32, String> {
    let fits = |eps: &f32| (0.0..1.0).contains(eps) && *eps > 0.0;
    Some(eps as f32).filter(fits).ok_or_else(|| format!("layer_norm_eps is {eps}"))
}

/// Returns the name of an activation.
pub(crate) fn activation_name(activation: Activation) -> &'static str {
    match activation {
        Activation::QuickGelu => "quick_gelu",
        Activation::Gelu => "gelu",
    }
}
