//! The two programs: options, commands, plots and pages.
//!
//! | folder | what it knows |
//! |---|---|
//! | [`train`] | the program `train` |
//! | [`commands`] | the program `clipwright`, one file a command |
//! | [`plot`] | pictures of numbers |

pub mod commands;
pub mod plot;
pub mod train;
