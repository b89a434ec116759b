//! How SigLIP's texts are cleaned.

/// Returns a text as SigLIP's authors evaluate with (`canonicalize_text` of big_vision, which OpenCLIP follows): `_` is a
/// space, ASCII punctuation is left out, letters are small, and words are one space apart.
pub(in crate::text) fn canonical(text: &str) -> String {
    let spaced = text.replace('_', " ");
    let kept: String = spaced.chars().filter(|c| !c.is_ascii_punctuation()).collect();
    kept.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}
