//! The two programs: options, commands, plots and pages.
//!
//! | folder | what it knows |
//! |---|---|
//! | [`train`] | the program `train` |
//! | [`commands`] | the program `clipwright`, one file a command |
//! | [`plot`] | pictures of numbers |
//! | `number` | numbers on the command line |
//! | [`hint`] | which flag helps against which error |

pub mod commands;
pub mod hint;
mod number;
pub mod plot;
pub mod train;
