//! Notes on what was assumed or left unread when a checkpoint was opened.

use super::tower::Tower;
use std::fmt;
use std::path::PathBuf;

/// Something that was assumed or left unread when a checkpoint was opened. It is not an error: whoever opens the
/// checkpoint can show the note to the user. Every message names the file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// No file says how pictures are prepared, so they are prepared as for OpenAI's models.
    OpenAiPictures { path: PathBuf },
    /// A file of `torch.save` holds more than the model, such as the state of an optimizer or a loss. `keys` are the
    /// outermost keys that are not read.
    Beside { path: PathBuf, keys: Vec<String> },
    /// No file says how pictures are prepared, so they are prepared as for SigLIP.
    SiglipPictures { path: PathBuf },
    /// No file says how pictures are prepared, so they are prepared as for every published BLIP.
    BlipPictures { path: PathBuf },
    /// No file says how many heads attention has, so they are as wide as in every published BLIP.
    Heads { path: PathBuf, tower: Tower, heads: usize, width: usize },
    /// The weights of the last epoch were taken; `others` are the other files of weights in the folder.
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
            Note::SiglipPictures { path } => write!(
                f,
                "{}: no configuration says how pictures are prepared; they are prepared as SigLIP's, by bicubic squashing",
                path.display()
            ),
            Note::BlipPictures { path } => {
                write!(
                    f,
                    "{}: no configuration says how pictures are prepared; they are prepared as BLIP's",
                    path.display()
                )
            }
            Note::Heads { path, tower, heads, width } => write!(
                f,
                "{}: no configuration says how many heads attention over {tower}s has; {heads} are taken, each {width} \
                 wide as in every published BLIP",
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
