//! What `clipwright explain model` prints.

use super::towers::{Row, Tower};
use crate::counted::counted;
use serde::Serialize;
use std::fmt;

#[derive(Serialize)]
pub(super) struct Report {
    pub model: String,
    pub caption_tokens: usize,
    pub grad_checkpointing: bool,
    pub parameters: usize,
    pub towers: Vec<Tower>,
}

/// What is counted as kept.
pub(super) const KEPT: &str = "Kept is what the towers keep of one pair in a step of training, from the forward to the \
                               backward pass. What a BLIP's losses hold between its uses comes on top.";

impl Report {
    pub(super) fn new(model: String, caption_tokens: usize, grad_checkpointing: bool, towers: Vec<Tower>) -> Self {
        let parameters = towers.iter().map(|tower| tower.parameters).sum();
        Report { model, caption_tokens, grad_checkpointing, parameters, towers }
    }

    /// Says what the numbers are of.
    pub(super) fn scope(&self) -> String {
        let keeps = if self.grad_checkpointing { ", the inputs of blocks alone" } else { "" };
        let text = counted(self.caption_tokens, "token");
        format!("{}; one picture and one text of {text}{keeps}", parameters(self.parameters))
    }
}

/// Writes sizes as `50×768`.
pub(super) fn sizes(sizes: &[usize]) -> String {
    sizes.iter().map(usize::to_string).collect::<Vec<_>>().join("×")
}

/// Writes a whole number in groups of three digits.
pub(super) fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).expect("digits")).collect();
    groups.join(",")
}

/// Writes a number of parameters.
pub(super) fn parameters(n: usize) -> String {
    format!("{} parameter{}", grouped(n), if n == 1 { "" } else { "s" })
}

/// Writes a number of multiply-adds.
pub(super) fn adds(n: f64) -> String {
    match n {
        0.0 => "0".into(),
        1e9.. => format!("{:.2} G", n / 1e9),
        1e6.. => format!("{:.1} M", n / 1e6),
        _ => format!("{:.1} k", n / 1e3),
    }
}

/// Writes a number of bytes.
pub(super) fn bytes(n: usize) -> String {
    match n as f64 / 1024.0 {
        0.0 => "0".into(),
        kib if kib >= 1000.0 => format!("{:.1} MiB", kib / 1024.0),
        kib => format!("{kib:.1} KiB"),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        writeln!(f, "{}: {}", self.model, self.scope())?;
        for Tower { name, parts, parameters, multiply_adds, kept_bytes } in &self.towers {
            writeln!(
                f,
                "\n{name}\n{:18}{:>12}{:>12}{:>13}{:>12}{:>11}",
                "", "in", "out", "parameters", "mult-adds", "kept"
            )?;
            for row in parts {
                let Row { input, output, parameters, shared, multiply_adds, kept_bytes, .. } = row;
                let (title, input, output) = (row.title(), sizes(input), sizes(output));
                let (parameters, adds, kept) = (grouped(*parameters), adds(*multiply_adds), bytes(*kept_bytes));
                writeln!(f, "{title:18}{input:>12}{output:>12}{parameters:>13}{adds:>12}{kept:>11}")?;
                if *shared > 0 {
                    writeln!(f, "{:>55} shared", grouped(*shared))?;
                }
            }
            let (parameters, adds, kept) = (grouped(*parameters), adds(*multiply_adds), bytes(*kept_bytes));
            writeln!(f, "{:42}{parameters:>13}{adds:>12}{kept:>11}", "together")?;
        }
        write!(f, "\n{KEPT}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!([0, 999, 151_277_313].map(grouped), ["0", "999", "151,277,313"]);
        assert_eq!([0.0, 1500.0, 2.5e6, 4.41e9].map(adds), ["0", "1.5 k", "2.5 M", "4.41 G"]);
        assert_eq!([0, 512, 1_048_576].map(bytes), ["0", "0.5 KiB", "1.0 MiB"]);
    }
}
