//! Texts and pictures as requests give them.

use super::reply::Fault;
use crate::app::commands::texts::{NOTHING_LEFT, is_nothing};
use crate::embed::Family;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

/// The most texts and pictures of a request.
pub(super) const MAX_INPUTS: usize = 2048;

/// Files of pictures, each with the field of the request that has it.
pub(super) type Files = Vec<(String, Vec<u8>)>;

/// Base64 with or without the signs that fill up its end.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A text, or a picture as the bytes of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Input {
    Text(String),
    Picture(Vec<u8>),
}

impl Input {
    /// Reads `"text"`, `{"text": "…"}` or `{"image": "…"}`.
    ///
    /// # Errors
    /// Returns a fault that names the field.
    pub fn of(param: &str, value: Value) -> Result<Self, Fault> {
        let shape = || Fault::field(param, "not a text, {\"text\": \"…\"} or {\"image\": \"base64 or data URI\"}");
        match value {
            Value::String(text) => Ok(Input::Text(text)),
            Value::Object(mut fields) if fields.len() == 1 => match (fields.remove("text"), fields.remove("image")) {
                (Some(Value::String(text)), None) => Ok(Input::Text(text)),
                (None, Some(Value::String(image))) => picture(&format!("{param}.image"), &image).map(Input::Picture),
                _ => Err(shape()),
            },
            Value::Number(_) | Value::Array(_) => {
                Err(Fault::field(param, "lists of tokens are not taken; send the text itself"))
            }
            _ => Err(shape()),
        }
    }
}

/// Decodes the bytes of a picture's file from base64 or a data URI.
///
/// # Errors
/// Returns a fault that names the field. Addresses are refused: the server fetches nothing.
pub(super) fn picture(param: &str, text: &str) -> Result<Vec<u8>, Fault> {
    let scheme = text.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    let data = match scheme.as_deref() {
        None => text,
        Some("data") => match text.split_once(',') {
            Some((head, data)) if head.to_ascii_lowercase().ends_with(";base64") => data,
            _ => return Err(Fault::field(param, "a data URI that is not data:TYPE;base64,…")),
        },
        Some(_) => {
            return Err(Fault::field(param, "an address; this server fetches nothing, so send the picture in base64"));
        }
    };
    match BASE64.decode(data) {
        Ok(bytes) if bytes.is_empty() => Err(Fault::field(param, "an empty picture")),
        Ok(bytes) => Ok(bytes),
        Err(error) => Err(Fault::field(param, format!("not base64: {error}"))),
    }
}

/// Decodes a list of pictures, each named by its place in the list.
///
/// # Errors
/// Returns a fault under the same conditions as [`picture`].
pub(super) fn pictures(param: &str, list: &[String]) -> Result<Files, Fault> {
    let file = |(i, text): (usize, &String)| {
        let param = format!("{param}[{i}]");
        picture(&param, text).map(|bytes| (param, bytes))
    };
    list.iter().enumerate().map(file).collect()
}

/// Checks how much a request asks for.
///
/// # Errors
/// Returns a fault if it is nothing or too much.
pub(super) fn check_count(param: &str, count: usize) -> Result<(), Fault> {
    match count {
        0 => Err(Fault::field(param, "nothing in it")),
        1..=MAX_INPUTS => Ok(()),
        _ => Err(Fault::field(param, format!("{count} of them; a request may have {MAX_INPUTS}"))),
    }
}

/// Checks that something is left of a text when it is cleaned for the model.
///
/// # Errors
/// Returns a fault that names the field.
pub(super) fn check_text<C>(family: &Family<C>, param: &str, text: &str) -> Result<(), Fault> {
    if is_nothing(family, text) {
        return Err(Fault::field(param, format!("{text:?}: {NOTHING_LEFT}")));
    }
    Ok(())
}

/// Checks a list of texts, each named by its place in the list.
///
/// # Errors
/// Returns a fault under the same conditions as [`check_text`].
pub(super) fn check_texts<C>(family: &Family<C>, param: &str, texts: &[String]) -> Result<(), Fault> {
    texts.iter().enumerate().try_for_each(|(i, text)| check_text(family, &format!("{param}[{i}]"), text))
}

/// Encodes bytes in base64.
pub(super) fn base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fault(value: Value) -> String {
        Input::of("input[3]", value).unwrap_err().message
    }

    #[test]
    fn texts_and_pictures_in_all_forms() {
        let of = |value| Input::of("input", value).unwrap();
        assert_eq!(of(json!("a")), Input::Text("a".into()));
        assert_eq!(of(json!({"text": "a:b"})), Input::Text("a:b".into()));
        for image in ["aGk=", "aGk", "data:image/png;base64,aGk=", "DATA:;BASE64,aGk="] {
            assert_eq!(of(json!({"image": image})), Input::Picture(b"hi".to_vec()), "{image}");
        }
    }

    #[test]
    fn everything_else_is_named() {
        assert!(fault(json!([1, 2])).starts_with("input[3]: lists of tokens"));
        assert!(fault(json!(7)).contains("tokens"));
        for value in [json!(null), json!({}), json!({"text": "a", "image": "b"}), json!({"text": 1}), json!({"x": "a"})]
        {
            assert!(fault(value).contains("input[3]: not a text"));
        }
        for address in ["http://a/b.png", "https://a", "file:///etc/passwd", "ftp:x", "HTTP://a", "javascript:0"] {
            assert!(fault(json!({"image": address})).contains("input[3].image: an address"), "{address}");
        }
        assert!(fault(json!({"image": "data:image/svg+xml,<svg/>"})).contains("data URI"));
        assert!(fault(json!({"image": "a%b"})).contains("not base64"));
        assert!(fault(json!({"image": ""})).contains("empty"));
    }
}
