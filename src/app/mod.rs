//! The two programs: options, commands, plots and pages.
//!
//! | folder | what it knows |
//! |---|---|
//! | `train` | the program `train` |
//! | `commands` | the program `clipwright`, one file a command |
//! | `plot` | the plots of a run and the sheets of pictures |
//! | `serve` | the server of `clipwright serve` |
//! | `map` | maps of collections, and their pages |
//! | `duplicates` | groups of pictures of which one is enough |
//! | `html` | pages that are one file |
//! | `card` | the README.md beside a model |
//! | `sizes` | the sizes of towers in words |
//! | `thumbnail` | small versions of picture files |
//! | `machine` | the machine that a program runs on |
//! | `number` | numbers on the command line |
//! | `part` | the part of the work that one of several processes does |
//! | `hint` | the flag or command that helps against an error |

/// Prints a line on standard output. A program goes on when nobody reads it any longer: a run is worth more than its log.
macro_rules! say {
    ($($part:tt)*) => { $crate::app::print(&mut std::io::stdout().lock(), format_args!($($part)*)) };
}

/// Prints a line on standard error, as `say!` does.
macro_rules! note {
    ($($part:tt)*) => { $crate::app::print(&mut std::io::stderr().lock(), format_args!($($part)*)) };
}

mod card;
pub mod commands;
mod duplicates;
pub mod hint;
mod html;
mod machine;
mod map;
mod number;
mod part;
pub mod plot;
mod serve;
mod sizes;
mod thumbnail;
pub mod train;

use std::fmt;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// The version of the package, and the commit that it is built from.
const VERSION: &str = env!("CLIPWRIGHT_VERSION");
/// Help texts, tables, and on a terminal messages are at most this many columns wide.
const WIDTH: usize = 80;

/// Checks what the environment chooses, before anything is begun.
///
/// # Errors
/// If `CLIP_ISA` or `CLIP_GEMM` names something that is not there.
pub fn check_environment() -> Result<(), String> {
    kernels::isa::Isa::from_env()?;
    kernels::gemm::Backend::from_env()?;
    Ok(())
}

/// Whether another process speaks for this one.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Leaves speaking to another process: nothing but errors is printed from now on.
pub(crate) fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Returns whether nothing but errors is printed.
pub fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Prints a message and a line feed unless another process speaks for this one.
fn print(out: &mut (impl Write + IsTerminal), message: fmt::Arguments) {
    if !is_quiet() {
        print_always(out, message);
    }
}

/// Prints a message and a line feed. On a terminal its long lines are folded.
fn print_always(out: &mut (impl Write + IsTerminal), message: fmt::Arguments) {
    let message = message.to_string();
    let message = if out.is_terminal() { folded(&message) } else { message };
    let _ = writeln!(out, "{message}");
}

/// Breaks lines of more than [`WIDTH`] columns between words, where they have spaces. What goes on in a new line is
/// indented by two columns more than the line.
fn folded(text: &str) -> String {
    let mut lines = vec![];
    for line in text.split('\n') {
        let indent = line.len() - line.trim_start_matches(' ').len();
        let mut current = String::new();
        for word in line.split_inclusive(' ') {
            let columns = current.chars().count() + word.trim_end().chars().count();
            if columns > WIDTH && current.trim() != "" {
                lines.push(current.trim_end().to_owned());
                current = " ".repeat(indent + 2);
            }
            current += word;
        }
        lines.push(current);
    }
    lines.join("\n")
}

/// Prints an error on standard error, even if nobody reads it.
pub fn complain(error: &str) {
    print_always(&mut std::io::stderr().lock(), format_args!("{error}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_folded_between_words() {
        let short = "  a table  of two\n\n   spaces ";
        assert_eq!(folded(short), short);
        let path = "p/".repeat(50);
        let long = format!("  warning: {} {path} end", "word ".repeat(20));
        let folded = folded(&long);
        assert!(folded.lines().all(|line| line.chars().count() <= WIDTH || line.trim() == path), "{folded}");
        assert!(folded.lines().skip(1).all(|line| line.starts_with("    ")), "{folded}");
        assert_eq!(folded.split_whitespace().collect::<Vec<_>>(), long.split_whitespace().collect::<Vec<_>>());
    }
}
