//! The two programs: options, commands, plots and pages.
//!
//! | folder | what it knows |
//! |---|---|
//! | `train` | the program `train` |
//! | `commands` | the program `clipwright`, one file a command |
//! | `plot` | the plots of a run and the sheets of pictures |
//! | `number` | numbers on the command line |
//! | `hint` | the flag or command that helps against an error |

/// Prints a line on standard output. A program goes on when nobody reads it any longer: a run is worth more than its log.
macro_rules! say {
    ($($part:tt)*) => {{
        let _ = std::io::Write::write_fmt(&mut std::io::stdout().lock(), format_args!("{}\n", format_args!($($part)*)));
    }};
}

/// Prints a line on standard error, as `say!` does.
macro_rules! note {
    ($($part:tt)*) => {{
        let _ = std::io::Write::write_fmt(&mut std::io::stderr().lock(), format_args!("{}\n", format_args!($($part)*)));
    }};
}

pub mod commands;
pub mod hint;
mod number;
pub mod plot;
pub mod train;

/// The version of the package, and the commit that it is built from.
const VERSION: &str = env!("CLIPWRIGHT_VERSION");
/// Help texts are wrapped at this many columns, where the terminal has them.
const HELP_WIDTH: usize = 80;

/// Checks what the environment chooses, before anything is begun.
///
/// # Errors
/// If `CLIP_ISA` or `CLIP_GEMM` names something that is not there.
pub fn check_environment() -> Result<(), String> {
    kernels::isa::Isa::from_env()?;
    kernels::gemm::Backend::from_env()?;
    Ok(())
}

/// Prints an error on standard error, even if nobody reads it.
pub fn complain(error: &str) {
    note!("{error}");
}
