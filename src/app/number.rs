//! Numbers on the command line.

use clap::builder::TypedValueParser;

/// Reads a number from 1 on.
pub(crate) fn positive() -> impl TypedValueParser<Value = usize> {
    up_to(u32::MAX)
}

/// Reads a number from 1 to `max`.
pub(crate) fn up_to(max: u32) -> impl TypedValueParser<Value = usize> {
    clap::value_parser!(u32).range(1..=i64::from(max)).map(|value| value as usize)
}
