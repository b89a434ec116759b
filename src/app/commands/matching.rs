//! `clipwright match`: judges which texts fit pictures.

use super::pictures::Images;
use super::ranking::Ranking;
use super::texts::{NOTHING_LEFT, lines, warn_cut_by_blip};
use super::{CliError, Context};
use crate::app::number::positive;
use crate::embed::Task;
use crate::eval::templates::PLACE;
use crate::text::blip_clean::{MAX_CAPTION_WORDS, caption};
use clap::Args;
use std::path::PathBuf;

/// Judge how well texts fit pictures, with a BLIP
///
/// Each text looks at each picture (BLIP's image-text matching), and texts are ranked by the probability that they fit,
/// every one by itself: all may fit, or none. The cosine is that of both embeddings (image-text contrast), as `caption-match`
/// shows it for a CLIP. Texts are cleaned as the original's captions are: lower case, blanks for . ! " ( ) * # : ; ~,
/// and at most 30 words. Salesforce/blip-itm-base-coco, -large-coco, -base-flickr and -large-flickr are models for it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  clipwright match a.jpg --texts texts.txt --model Salesforce/blip-itm-base-coco
  clipwright match photos/ --texts texts.txt --model blip/ -k 1 --json

As JSON, a line for each picture:
{\"image\", \"best\": [{\"index\", \"text\", \"cosine\", \"probability\"}, …]}
index counts texts from 0.")]
pub(crate) struct Match {
    #[command(flatten)]
    images: Images,
    /// Text file with one text per line, `-` for standard input; blank lines are skipped
    #[arg(long, value_name = "FILE")]
    texts: PathBuf,
    /// Number of texts to show
    #[arg(short, value_name = "K", default_value_t = 5, value_parser = positive())]
    k: usize,
    /// Exit with code 0 even if some of the pictures cannot be read
    #[arg(long)]
    skip_unreadable: bool,
}

impl Match {
    pub(crate) fn run(self, context: &Context) -> Result<(), CliError> {
        let (texts, cleaned) = self.texts()?;
        let named = self.images.find()?;
        named.warn_passed_over();
        let blip = context.blip(Task::Match)?;
        warn_cut_by_blip(&blip, &texts, &[PLACE]);
        let error = |source| CliError::Blip { path: blip.path().into(), source };
        let embedded = blip.encode_text(&cleaned).map_err(error)?;
        let bar = context.output.progress(named.paths.len(), "pictures");
        let tally = named.look(&blip, 0, &bar, |batch| {
            let matches = blip.match_seen(&batch.rows, &cleaned, embedded.view()).map_err(error)?;
            let rows = matches.probabilities.rows().into_iter().zip(matches.cosines.rows());
            bar.suspend(|| {
                batch.read.iter().zip(rows).try_for_each(|(&(i, ()), (probabilities, cosines))| {
                    let ranking = Ranking::by_probability(named.name(i), &texts, probabilities, cosines, self.k);
                    context.output.show(&ranking)
                })
            })
        })?;
        tally.verdict(self.skip_unreadable)
    }

    /// Returns the texts as they are and as they are cleaned.
    fn texts(&self) -> Result<(Vec<String>, Vec<String>), CliError> {
        let clean = |(number, text): (usize, String)| match caption(&text, MAX_CAPTION_WORDS) {
            cleaned if cleaned.is_empty() => Err(CliError::line(&self.texts, number, NOTHING_LEFT)),
            cleaned => Ok((text, cleaned)),
        };
        lines(&self.texts)?.into_iter().map(clean).collect()
    }
}
