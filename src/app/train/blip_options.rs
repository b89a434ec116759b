//! The options that only a BLIP has.

use super::data_options::Embedded;
use super::values::below_one;
use crate::app::number::positive;
use crate::embed::blip::published::PROMPT;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The options that only a BLIP has.
#[derive(Clone, Debug, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(default)]
#[command(next_help_heading = "BLIP")]
pub struct BlipOptions {
    /// What a BLIP learns
    #[arg(long, value_enum, default_value_t)]
    pub task: Task,
    /// Features of earlier pairs that a batch is contrasted with as well [default: 57600, or 64 with a model narrower than 384]
    #[arg(long, value_name = "PAIRS", value_parser = positive())]
    pub queue: Option<usize>,
    /// What every caption begins with, with --task caption
    #[arg(long, value_name = "TEXT", default_value = PROMPT)]
    pub prompt: String,
    /// Share of the text Transformer's values and attention that training drops [default: 0.1, or 0 with a model narrower than 384]
    #[arg(long, value_name = "SHARE", value_parser = below_one)]
    pub dropout: Option<f32>,
    /// Vary pictures as the original does: crops, mirror images where captions allow them, and RandAugment
    #[arg(long)]
    pub rand_augment: bool,
    /// Give a new BLIP the vocabulary of the one in this folder [default: the pieces that scenes need, or BERT's for own
    /// pairs]
    #[arg(long, value_name = "FOLDER", conflicts_with = "pretrained")]
    pub tokenizer: Option<PathBuf>,
}

/// What a BLIP learns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// To compare, to match and to write: all three losses, from pairs of the web
    #[default]
    Pretrain,
    /// To compare and to match, for pictures that have several captions each
    Retrieval,
    /// To write captions that begin with --prompt
    Caption,
    /// To answer questions
    Vqa,
}

impl Task {
    /// Returns what the task is called in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Task::Pretrain => "pre-training",
            Task::Retrieval => "retrieval",
            Task::Caption => "captioning",
            Task::Vqa => "answering",
        }
    }
}

impl BlipOptions {
    /// Returns the first option that was given, all of which say something of a BLIP.
    pub(super) fn given(&self) -> Option<&'static str> {
        let given = [
            ("--task", self.task != Task::default()),
            ("--queue", self.queue.is_some()),
            ("--dropout", self.dropout.is_some()),
            ("--rand-augment", self.rand_augment),
            ("--tokenizer", self.tokenizer.is_some()),
        ];
        given.into_iter().find_map(|(flag, given)| given.then_some(flag))
    }

    /// Returns what every caption begins with; nothing, unless the task is to write captions.
    pub(crate) fn captions_begin(&self) -> &str {
        if self.task == Task::Caption { &self.prompt } else { "" }
    }

    /// Returns what the task is learnt on if no data is given.
    pub(super) fn embedded(&self) -> Embedded {
        if self.task == Task::Vqa { Embedded::Questions } else { Embedded::Scenes }
    }
}
