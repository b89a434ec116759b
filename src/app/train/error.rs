//! The errors of a run, and the flags that help against them.

use crate::batches::{ImageSizesError, LoaderError};
use crate::checkpoint::CheckpointError;
use crate::counted::counted;
use crate::datasets::DatasetError;
use crate::datasets::emoji::Language;
use crate::datasets::scenes::LANGUAGES;
use crate::eval::alike::Alike;
use crate::eval::exam::LookError;
use crate::models::clip::config::{ConfigError, VOCAB_SIZE};
use crate::text::TokenizerError;
use crate::train::log::ReadError;
use crate::train::run_folder::RunFolderError;
use crate::train::watch::Collapse;
use std::io;
use std::path::PathBuf;

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    #[error(transparent)]
    Data(#[from] DatasetError),
    #[error(transparent)]
    Loader(#[from] LoaderError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Model(#[from] ConfigError),
    #[error("a vocabulary of {0} is too small for CLIP's tokenizer, which has {VOCAB_SIZE} tokens")]
    Vocabulary(usize),
    #[error("{}: {difference}", path.display())]
    OtherModel { path: PathBuf, difference: String },
    #[error("{}: {difference}", path.display())]
    OtherTokens { path: PathBuf, difference: String },
    #[error("{flag} {unlocked}: this tower has {}", counted(*groups, "layer group"))]
    Groups { flag: &'static str, unlocked: usize, groups: usize },
    #[error("no parameter of the model matches {0}")]
    NoParameter(String),
    #[error("{flag} needs {needs}")]
    Unused { flag: &'static str, needs: &'static str },
    #[error("{flag}: {source}")]
    Misfit { flag: String, source: ConfigError },
    #[error("--image-size-schedule ends with {last} pixels, and the model's own size is {own}")]
    LastSize { last: usize, own: usize },
    #[error("--image-size-schedule: {0}")]
    ImageSizes(#[from] ImageSizesError),
    #[error("{0} needs a BLIP")]
    NeedsBlip(&'static str),
    #[error("{0} needs a CLIP")]
    NeedsClip(&'static str),
    #[error(
        "--grad-checkpointing needs a ViT: a ResNet keeps all its activations. A smaller --batch-size with a larger \
         --accum-freq takes less memory"
    )]
    Checkpointing,
    #[error("--model and --pretrained: the weights of a BLIP say what they are")]
    TwoModels,
    #[error("scenes are described in {}, not in {}", scene_languages(), .0.code())]
    SceneLanguage(Language),
    #[error("{}: its pictures are not square", path.display())]
    NotSquare { path: PathBuf },
    #[error("{}: no vocabulary of a BLIP in it", path.display())]
    NoVocabulary { path: PathBuf },
    #[error("{}: it has no {parameter}, which {task} needs", path.display())]
    Lacks { path: PathBuf, parameter: String, task: &'static str },
    #[error("{}: no answers to these questions", questions.display())]
    NoAnswers { questions: PathBuf },
    #[error(transparent)]
    Look(#[from] LookError),
    #[error("the run has taken {}, and is to have {total}", counted(*steps, "step"))]
    TooLong { steps: u64, total: u64 },
    #[error(transparent)]
    OwnTokenizer(#[from] TokenizerError),
    #[error("{}: it has {}, the model {known}", path.display(), counted(*tokens, "token"))]
    Tokenizer { path: PathBuf, tokens: usize, known: usize },
    #[error("{}: is there already", path.display())]
    RunExists { path: PathBuf },
    #[error(transparent)]
    RunFolder(RunFolderError),
    #[error(transparent)]
    Log(#[from] io::Error),
    #[error(transparent)]
    Metrics(#[from] ReadError),
    #[error(
        "{ranks} ranks cannot take steps of {}: the number of ranks must be a power of two, and not above that of shards",
        counted(*shards, "shard")
    )]
    Ranks { ranks: usize, shards: usize },
    #[cfg(not(feature = "mpi"))]
    #[error("{ranks} processes were started together, and this program was built without the feature mpi")]
    NoMpi { ranks: usize },
    #[cfg(feature = "mpi")]
    #[error("MPI: {0}")]
    Mpi(String),
    #[error("rank {rank} differs from rank 0 in {what}: that has {first}")]
    Differs { what: &'static str, rank: usize, first: String },
    #[error(
        "after {} the model knows {:.1} % of {pairs} pairs by heart, at a loss of {loss:.4}", counted(*steps, "step"),
        100.0 * known
    )]
    NotLearnt { pairs: usize, steps: u64, known: f64, loss: f64 },
    #[error("training stopped at {0}. {advice}", advice = advice(.0))]
    Collapse(Collapse),
}

fn scene_languages() -> String {
    LANGUAGES.map(Language::code).join(", ")
}

/// Why an option that was read from a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OptionError {
    #[error("{name} is {value}, which is not between 1 and {max}")]
    Range { name: &'static str, value: usize, max: u32 },
    /// The parser of the command line refuses the value.
    #[error("{name}: {reason}")]
    Refused { name: &'static str, reason: String },
}

impl From<RunFolderError> for TrainError {
    fn from(error: RunFolderError) -> Self {
        match error {
            RunFolderError::Exists { path } => TrainError::RunExists { path },
            other => TrainError::RunFolder(other),
        }
    }
}

/// Returns which flags help against a collapse.
pub(crate) fn advice(collapse: &Collapse) -> &'static str {
    match collapse {
        Collapse::NotFinite { .. } => "Try a lower --lr, a longer --warmup or a smaller --grad-clip-norm",
        Collapse::Stuck { .. } => "Then try a lower --lr and a longer --warmup; with a very small --lr, be patient",
        Collapse::Alike { whose: Alike::Captions, .. } => {
            "The longest caption is the context_length of --model; if it is long enough, start again with a lower --lr or a \
             longer --warmup"
        }
        Collapse::FellBack { .. } | Collapse::Alike { .. } => "Start again with a lower --lr or a longer --warmup",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_that_are_advised_exist() {
        use clap::CommandFactory;
        let flags: Vec<String> = super::super::Cli::command()
            .get_arguments()
            .filter_map(|arg| Some(format!("--{}", arg.get_long()?)))
            .collect();
        let (step, name, value) = (3, String::from("loss"), f64::NAN);
        let collapses = [
            Collapse::NotFinite { step, name: name.clone(), value },
            Collapse::Stuck { step, name: name.clone(), loss: 4.8, chance: 4.8 },
            Collapse::FellBack { step, name, loss: 4.8, best: 2.0, chance: 4.8 },
            Collapse::Alike { whose: Alike::Captions, mean_cosine: 1.0 },
            Collapse::Alike { whose: Alike::Both, mean_cosine: 1.0 },
        ];
        for collapse in collapses {
            let said = TrainError::Collapse(collapse).to_string();
            let advised: Vec<_> = said.split([' ', ',', ';', '.']).filter(|word| word.starts_with("--")).collect();
            assert!(!advised.is_empty() && advised.iter().all(|flag| flags.contains(&flag.to_string())), "{said}");
        }
    }
}
