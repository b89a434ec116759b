//! The two programs: options, commands, plots and pages.
//!
//! | folder | what it knows |
//! |---|---|
//! | `train` | the program `train` |
//! | `commands` | the program `clipwright`, one file a command |
//! | `plot` | the plots of a run and the sheets of pictures |
//! | `number` | numbers on the command line |
//! | `hint` | the flag or command that helps against an error |

pub mod commands;
pub mod hint;
mod number;
pub mod plot;
pub mod train;

/// The version of the package, and the commit that it is built from.
const VERSION: &str = env!("CLIPWRIGHT_VERSION");
/// Help texts are wrapped at this many columns, where the terminal has them.
const HELP_WIDTH: usize = 80;
