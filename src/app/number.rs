//! Numbers on the command line.

use clap::builder::TypedValueParser;
use std::str::FromStr;

/// Reads a number from 1 on.
pub(crate) fn positive() -> impl TypedValueParser<Value = usize> {
    up_to(u32::MAX)
}

/// Reads a number from 1 to `max`.
pub(crate) fn up_to(max: u32) -> impl TypedValueParser<Value = usize> {
    clap::value_parser!(u32).range(1..=i64::from(max)).map(|value| value as usize)
}

/// Reads a finite number above 0.
pub(crate) fn above_zero<T: FromStr + Copy + Into<f64>>(text: &str) -> Result<T, String> {
    let is_above_zero = |value: &T| (*value).into() > 0.0 && (*value).into().is_finite();
    text.parse().ok().filter(is_above_zero).ok_or_else(|| "not a number above 0".into())
}
