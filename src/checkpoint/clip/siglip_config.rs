//! The fields by which OpenCLIP's configurations describe a SigLIP: the name of timm's image tower, which stands for its
//! sizes, and what its text tower has that CLIP's has not.

use crate::checkpoint::ConfigFileError;
use serde_json::{Map, Value, json};

/// The image towers of timm: their part of the name, width, layers, heads, and how many times wider the MLP is.
const TRUNKS: [(&str, usize, usize, usize, f64); 4] = [
    ("base", 768, 12, 12, 4.0),
    ("large", 1024, 24, 16, 4.0),
    ("so400m", 1152, 27, 16, 3.7362),
    ("giantopt", 1536, 40, 16, 4.0),
];

/// Replaces the fields of a SigLIP by those of our own configuration: the sizes of the image tower that a name stands for,
/// the form of GELU that all of them were trained with unless a form is said, and nothing of what every text tower has.
///
/// # Errors
/// Returns an error if the image tower is another one, or if the text tower has not all that SigLIP's has.
pub(super) fn expand(model: &mut Value) -> Result<(), ConfigFileError> {
    let tanh = json!({ "approximate": "tanh" });
    if let Some(Value::Object(vision)) = model.get_mut("vision_cfg") {
        let name = vision.get("timm_model_name").and_then(Value::as_str).filter(|name| name.contains("siglip"));
        if let Some(name) = name.map(String::from) {
            let name = name.as_str();
            vision.remove("timm_model_name");
            let sizes = sizes(name).ok_or_else(|| ConfigFileError::Trunk { trunk: name.into() })?;
            let is_map = vision.remove("timm_pool").is_none_or(|pool| pool == "map");
            let no_projection = vision.remove("timm_proj").is_none_or(|proj| proj.is_null() || proj == "none");
            if !is_map || !no_projection {
                return Err(ConfigFileError::Trunk { trunk: name.into() });
            }
            vision.remove("timm_model_pretrained");
            sizes.into_iter().for_each(|(field, value)| {
                vision.entry(field).or_insert(value);
            });
            vision.insert("timm_pool".into(), json!("map"));
        }
        if vision.get("timm_pool").is_some_and(|pool| pool == "map") {
            vision.entry("act_kwargs").or_insert_with(|| tanh.clone());
        }
    }
    if let Some(Value::Object(text)) = model.get_mut("text_cfg")
        && text.get("no_causal_mask") == Some(&json!(true))
    {
        let has = [("pool_type", json!("last"), "last"), ("proj_bias", json!(true), "true")];
        for (field, value, wanted) in has {
            let found = text.remove(field).unwrap_or_default();
            if found != value {
                return Err(ConfigFileError::NotSiglip { field, value: found, wanted });
            }
        }
        let eps = text.remove("norm_kwargs").and_then(|norm| norm["eps"].as_f64());
        if eps.is_none_or(|eps| (eps - 1e-6).abs() > 1e-9) {
            let value = json!(eps);
            return Err(ConfigFileError::NotSiglip { field: "norm_kwargs.eps", value, wanted: "1e-6" });
        }
        ["hf_tokenizer_name", "tokenizer_kwargs"].into_iter().for_each(|field| {
            text.remove(field);
        });
        text.entry("act_kwargs").or_insert(tanh);
    }
    Ok(())
}

/// Adds the fields by which OpenCLIP builds the same model, where it can: its image towers have timm's sizes.
pub(super) fn describe(model: &mut Value) {
    let erf = json!({ "approximate": "none" });
    if let Some(Value::Object(vision)) = model.get_mut("vision_cfg")
        && vision.get("timm_pool").is_some()
    {
        vision.entry("act_kwargs").or_insert_with(|| erf.clone());
        if let Some(name) = name(vision) {
            vision.insert("timm_model_name".into(), name.into());
            vision.insert("timm_proj".into(), json!("none"));
        }
    }
    if let Some(Value::Object(text)) = model.get_mut("text_cfg")
        && text.get("no_causal_mask").is_some()
    {
        text.entry("act_kwargs").or_insert(erf);
        text.insert("pool_type".into(), json!("last"));
        text.insert("proj_bias".into(), json!(true));
        text.insert("norm_kwargs".into(), json!({ "eps": 1e-6 }));
    }
}

/// Returns the fields of the tower that timm knows by a name such as `vit_base_patch16_siglip_224`.
fn sizes(name: &str) -> Option<[(&'static str, Value); 6]> {
    let name = name.split_once('.').map_or(name, |(name, _)| name);
    let (size, rest) = name.strip_prefix("vit_")?.split_once("_patch")?;
    let (patch, image) = rest.split_once("_siglip_")?;
    let (patch, image): (usize, usize) = (patch.parse().ok()?, image.parse().ok()?);
    let &(_, width, layers, heads, mlp_ratio) = TRUNKS.iter().find(|(known, ..)| *known == size)?;
    Some([
        ("image_size", json!(image)),
        ("layers", json!(layers)),
        ("width", json!(width)),
        ("patch_size", json!(patch)),
        ("head_width", json!(width / heads)),
        ("mlp_ratio", json!(mlp_ratio)),
    ])
}

/// Returns the name that timm has for a tower, if its sizes are those of one.
fn name(vision: &Map<String, Value>) -> Option<String> {
    let number = |field, default: usize| vision.get(field).map_or(Some(default as u64), Value::as_u64);
    let (width, layers, head_width) = (number("width", 0)?, number("layers", 0)?, number("head_width", 64)?);
    let ratio = vision.get("mlp_ratio").map_or(Some(4.0), Value::as_f64)?;
    let is_it = |&&(_, d, l, heads, mlp): &&(&str, usize, usize, usize, f64)| {
        (width, layers) == (d as u64, l as u64)
            && head_width * heads as u64 == width
            && (d as f64 * mlp) as usize == (d as f64 * ratio) as usize
    };
    let (size, ..) = TRUNKS.iter().find(is_it)?;
    Some(format!("vit_{size}_patch{}_siglip_{}", number("patch_size", 0)?, number("image_size", 0)?))
}
