//! Tests of metrics and exams against counting by hand, of the index against the definition, and of a run's log.

#[path = "../support/mod.rs"]
mod support;

mod baseline;
mod captions;
#[cfg(feature = "emoji")]
mod emoji_exam;
mod index;
mod ranking;
#[cfg(feature = "app")]
mod run;
mod scenes_exam;
