//! Metrics and exams against counting by hand, the search index against the definition, the log of a run.

#[path = "../support/mod.rs"]
mod support;

mod baseline;
mod emoji_exam;
mod index;
mod ranking;
mod run;
