//! `clipwright explain`: shows what happens inside, one topic a file.
//!
//! | file | what it shows |
//! |---|---|
//! | `tokens`, `tokens_report`, `tokens_page` | how a text becomes token ids |
//! | `gradcheck` | how a backward pass is checked, and what the check says of one that lacks a term |
//! | `model` | the parts of a model, and what each takes |
//! | `page` | the option `--output`, and what the pages share |
//! | `picture` | where in a picture texts are |
//! | `attention` | what attends to what in a picture, a text, or a caption that is written |
//! | `step` | one training step of a CLIP, from pairs to moved weights |
//! | `run` | how a run has learnt, checkpoint by checkpoint |
//! | `drawings` | the file of drawings that both write |

mod attention;
mod drawings;
mod gradcheck;
mod model;
mod page;
mod picture;
mod run;
mod step;
mod tokens;
mod tokens_page;
mod tokens_report;

use super::{CliError, Context};
use clap::{Args, Subcommand};

/// Show what happens inside a model
#[derive(Debug, Args)]
pub(crate) struct Explain {
    #[command(subcommand)]
    topic: Topic,
}

#[derive(Debug, Subcommand)]
enum Topic {
    Tokens(tokens::Tokens),
    Model(model::Model),
    Gradcheck(gradcheck::Gradcheck),
    Picture(picture::Where),
    Attention(attention::Attention),
    Step(step::Step),
    Run(run::Run),
}

impl Explain {
    pub(crate) fn run(self, context: &Context) -> Result<(), CliError> {
        context.refuse_precision("what is explained is computed in 32 bits, as gradients are")?;
        match self.topic {
            Topic::Tokens(topic) => topic.run(context),
            Topic::Model(topic) => topic.run(context),
            Topic::Gradcheck(topic) => topic.run(context),
            Topic::Picture(topic) => topic.run(context),
            Topic::Attention(topic) => topic.run(context),
            Topic::Step(topic) => topic.run(context),
            Topic::Run(topic) => topic.run(context),
        }
    }
}
