//! What was assumed or passed over when a checkpoint was opened. It is no error, and whoever opens it can say it.

use std::fmt;
use std::path::PathBuf;

/// Every message names the file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// No file says how pictures are prepared, so they are as for OpenAI's models.
    OpenAiPictures { path: PathBuf },
    /// A file of `torch.save` has more than the model: an optimizer's state, a loss. These are its outermost keys.
    Beside { path: PathBuf, keys: Vec<String> },
    /// Of several files of weights the one of the last epoch was taken.
    Chosen { path: PathBuf, others: Vec<String> },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Note::OpenAiPictures { path } => write!(
                f,
                "{}: no configuration says how pictures are prepared; they are prepared as for OpenAI's models",
                path.display()
            ),
            Note::Beside { path, keys } => {
                write!(f, "{}: not part of the model and not read: {}", path.display(), keys.join(", "))
            }
            Note::Chosen { path, others } => {
                write!(f, "{}: taken as the last epoch; also there: {}", path.display(), others.join(", "))
            }
        }
    }
}
