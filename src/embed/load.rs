//! Which calls of an encoder can share a pass without a bit of their embeddings changing.
//!
//! Rows of a product do not depend on each other, but with weights as they lie in a checkpoint a product of a few rows
//! ([`FEW_ROWS`]) adds in another order than one of many. A pass has products with a row for each token or patch, and
//! behind the last block some with a row for each text or picture. So what is few alone must be few together, in both
//! counts, unless all weights are laid out in panels, as those of published Transformers are.

use super::blip::BATCH as BLIP_PICTURES;
use super::encoders::{ImageEncoder, TextEncoder};
use super::family::Family;
use super::session::BATCH as TEXTS;
use super::stream::BATCH as PICTURES;
use crate::layers::block::Size;
use crate::models::clip::visual::Shape;
use crate::text::blip_clean::{MAX_CAPTION_WORDS, caption};
use kernels::gemm::{Backend, FEW_ROWS, Panels};

/// Number of texts of a BLIP in a pass.
const BLIP_TEXTS: usize = 512;

/// The sizes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Number of texts or pictures.
    pub sequences: usize,
    /// Number of their tokens or patches.
    pub rows: usize,
    /// Whether the model adds few rows in the order of many.
    pub is_steady: bool,
}

impl Load {
    /// Returns the sizes of two calls in one pass of at most `most` texts or pictures, or `None` if embeddings might differ
    /// from those of either call alone.
    pub fn join(self, other: Load, most: usize) -> Option<Load> {
        let (sequences, rows) = (self.sequences + other.sequences, self.rows + other.rows);
        let joined = Load { sequences, rows, is_steady: self.is_steady && other.is_steady };
        let few = |load: Load| [load.sequences <= FEW_ROWS, load.rows <= FEW_ROWS];
        let is_same = joined.is_steady || few(self) == few(joined) && few(other) == few(joined);
        (sequences <= most && is_same).then_some(joined)
    }
}

/// Returns whether all linear layers of a Transformer have their weights in panels.
fn in_panels(size: &Size) -> bool {
    Backend::chosen() == Backend::Simd && [size.width, size.mlp_width].into_iter().all(Panels::fit)
}

impl<C: AsRef<TextEncoder>> Family<C> {
    /// Returns how many texts are in the tower at a time.
    pub fn texts_at_a_time(&self) -> usize {
        match self {
            Family::Clip(_) => TEXTS,
            Family::Blip(_) => BLIP_TEXTS,
        }
    }

    /// Returns the load of texts that have so many tokens together.
    pub fn texts_load(&self, sequences: usize, rows: usize) -> Load {
        let is_steady = matches!(self, Family::Clip(clip) if in_panels(&clip.as_ref().shape().size));
        Load { sequences, rows, is_steady }
    }

    /// Returns the number of tokens that a text is embedded by.
    pub fn tokens(&self, text: &str) -> usize {
        match self {
            Family::Clip(clip) => clip.as_ref().tokenizer().encode(text, clip.as_ref().context_length()).ids.len(),
            Family::Blip(blip) => blip.tokenizer().encode(&caption(text, MAX_CAPTION_WORDS), blip.max_text()).len(),
        }
    }
}

impl<C: AsRef<ImageEncoder>> Family<C> {
    /// Returns how many pictures are in the tower at a time.
    pub fn pictures_at_a_time(&self) -> usize {
        match self {
            Family::Clip(_) => PICTURES,
            Family::Blip(_) => BLIP_PICTURES,
        }
    }

    /// Returns the load of so many pictures: the fewest rows that one has, which are those of its coarsest map.
    pub fn pictures_load(&self, pictures: usize) -> Load {
        let (places, is_steady) = match self {
            Family::Clip(clip) => match clip.as_ref().shape() {
                // The patches themselves are multiplied with plain weights.
                // So is what a MAP head gathers, with a row for each picture.
                Shape::Vit(vit) => {
                    let is_steady = vit.grid.patches() > FEW_ROWS && in_panels(&vit.size) && !vit.map_head;
                    (vit.grid.patches(), is_steady)
                }
                resnet => (resnet.places(), false),
            },
            Family::Blip(blip) => (blip.config().vit().grid.patches(), false),
        };
        Load { sequences: pictures, rows: pictures * places, is_steady }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{Checkpoint, ConfigFile, Overrides, save_model};
    use crate::embed::Clip;
    use crate::models::clip::{Config, Model};
    use crate::pictures::{Channels, Picture};
    use crate::weights::{Half, Rounding};

    #[test]
    fn few_and_many_are_not_mixed() {
        let load = |sequences, rows| Load { sequences, rows, is_steady: false };
        assert_eq!(load(1, 9).join(load(1, 7), 64), Some(load(2, 16)));
        assert_eq!(load(1, 9).join(load(1, 8), 64), None);
        assert_eq!(load(1, 20).join(load(1, 9), 64), None);
        assert_eq!(load(1, 20).join(load(15, 400), 64), Some(load(16, 420)));
        assert_eq!(load(1, 20).join(load(16, 400), 64), None);
        assert_eq!(load(17, 400).join(load(20, 400), 64), Some(load(37, 800)));
        assert_eq!(load(17, 400).join(load(20, 400), 36), None);
        let steady = |sequences, rows| Load { is_steady: true, ..load(sequences, rows) };
        assert_eq!(steady(1, 9).join(steady(20, 180), 64), Some(steady(21, 189)));
    }

    /// A width of 48 leaves the last panel of weights unfilled, so that some products read plain rows.
    #[test]
    fn what_joins_has_the_same_bits() {
        let mut preset = Config::preset("Emoji-ViT-S").unwrap();
        preset.vision_cfg.patch_size = Some(8);
        let mut odd = preset.clone();
        (odd.embed_dim, odd.text_cfg.width, odd.text_cfg.heads) = (40, 48, 3);
        (odd.vision_cfg.width, odd.vision_cfg.head_width) = (48, 16);
        for config in [preset, odd] {
            let folder = tempfile::tempdir().unwrap();
            save_model(folder.path(), &Model::new(config.clone(), 0), &ConfigFile::new(config)).unwrap();
            for rounding in [Rounding::Stored, Rounding::Half(Half::F16), Rounding::Int8] {
                let overrides = Overrides { rounding, ..Overrides::default() };
                let checkpoint = Checkpoint::open(folder.path(), &overrides).unwrap();
                let clip = Family::Clip(Clip::new(&checkpoint).unwrap());
                texts_have_the_same_bits(&clip);
                pictures_have_the_same_bits(&clip);
            }
        }
    }

    fn texts_have_the_same_bits(clip: &Family<Clip>) {
        let texts: Vec<String> = (0..60).map(|i| "word ".repeat(i * 7 % 19) + &i.to_string()).collect();
        let load = |texts: &[String]| clip.texts_load(texts.len(), texts.iter().map(|text| clip.tokens(text)).sum());
        let mut joined = 0;
        for (first, second) in [(1, 1), (1, 2), (3, 1), (1, 15), (8, 8), (20, 20), (17, 40)] {
            for start in (0..60 - first - second).step_by(7) {
                let (one, two) = texts[start..start + first + second].split_at(first);
                if load(one).join(load(two), clip.texts_at_a_time()).is_none() {
                    continue;
                }
                joined += 1;
                let together = clip.encode_text(&texts[start..start + first + second]);
                let (a, b) = (clip.encode_text(one), clip.encode_text(two));
                assert!(a.iter().chain(&b).eq(&together), "{first} and {second} from {start}");
            }
        }
        assert!(joined > 9, "{joined}");
    }

    fn pictures_have_the_same_bits(clip: &Family<Clip>) {
        let picture = |n: usize| {
            let mut picture = Picture::new(70, 60 + n, Channels::Rgb);
            picture.samples.iter_mut().enumerate().for_each(|(i, sample)| *sample = (i * (n + 3) % 251) as u8);
            picture
        };
        let pictures: Vec<Picture> = (0..16).map(picture).collect();
        let load = |n| clip.pictures_load(n);
        assert!(load(1).join(load(15), 64).is_some());
        let all = clip.encode_image(&pictures);
        for n in [1, 2, 7, 15] {
            let (one, two) = pictures.split_at(n);
            let (a, b) = (clip.encode_image(one), clip.encode_image(two));
            assert!(a.iter().chain(&b).eq(&all), "{n}");
        }
    }
}
