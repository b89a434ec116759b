//! The values of options, as the command line and a run's folder have them.

use crate::datasets::emoji::Language;
use crate::optim::lr_factors::LrFactor;

/// Reads a finite number.
fn number(text: &str) -> Result<f32, String> {
    let value: f32 = text.parse().map_err(|_| "not a number".to_string())?;
    if value.is_finite() { Ok(value) } else { Err("not finite".into()) }
}

/// Reads a number from 0 on.
pub(super) fn non_negative(text: &str) -> Result<f32, String> {
    number(text).and_then(|value| if value >= 0.0 { Ok(value) } else { Err("must not be negative".into()) })
}

/// Reads a number from 0 to below 1.
pub(super) fn below_one(text: &str) -> Result<f32, String> {
    non_negative(text).and_then(|value| if value < 1.0 { Ok(value) } else { Err("must be below 1".into()) })
}

/// The largest number of shards that a step is cut into.
const MAX_SHARDS: usize = 1 << 12;

/// Reads a power of two.
pub(super) fn power_of_two(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(value) if value.is_power_of_two() && value <= MAX_SHARDS => Ok(value),
        _ => Err(format!("must be a power of two, at most {MAX_SHARDS}")),
    }
}

/// Reads a number above 0 and up to 1.
pub(super) fn at_most_one(text: &str) -> Result<f32, String> {
    let above_zero =
        |value| if value > 0.0 && value <= 1.0 { Ok(value) } else { Err("must be above 0, at most 1".into()) };
    number(text).and_then(above_zero)
}

/// Checks a pattern of names with a factor of the learning rate.
pub(super) fn lr_factor(text: &str) -> Result<String, String> {
    text.parse::<LrFactor>().map(|_| text.into()).map_err(|error| error.to_string())
}

/// Reads a number from 0 to 1.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("a share is a number between 0 and 1".into()),
    }
}

/// Reads a share from 0 to below 1.
pub(crate) fn share_below_one(text: &str) -> Result<f64, String> {
    share(text).and_then(|value| if value < 1.0 { Ok(value) } else { Err("must be below 1".into()) })
}

/// Reads the separator of a table's columns.
pub(super) fn separator(text: &str) -> Result<char, String> {
    let text = if text == r"\t" { "\t" } else { text };
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some('"' | '\r' | '\n'), None) => Err("cannot be a quote or the end of a line".into()),
        (Some(c), None) if c.is_ascii() => Ok(c),
        _ => Err("must be one ASCII character, or \\t".into()),
    }
}

/// Reads the code of a language.
pub(super) fn language(code: &str) -> Result<Language, String> {
    Language::from_code(code).ok_or_else(|| {
        let codes: Vec<_> = Language::ALL.iter().map(|language| language.code()).collect();
        format!("there are {}", codes.join(", "))
    })
}
