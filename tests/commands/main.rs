//! The two programs as their users see them, and the plots that they draw.

#[path = "../support/mod.rs"]
mod support;

mod bench;
mod blip;
mod blip_embeds;
mod blip_exams;
mod capfilt;
mod collections;
mod duplicates;
mod encoders;
mod eval;
mod explain;
mod explain_picture;
mod explain_run;
mod explain_step;
mod export;
mod found;
mod killed;
mod map;
mod one_embedding;
mod parts;
mod photos;
mod pictures;
mod plots;
mod precision;
mod queries;
mod reports;
mod savings;
mod scenes;
mod search;
mod serve;
mod shell;
mod siglip;
mod tables;
mod train;
mod train_blip;
mod train_sources;
