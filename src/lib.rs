//! x
pub mod eval;
pub mod io;
pub mod plot;
