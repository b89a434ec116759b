//! The exam on the embedded emoji: a model names pictures of concepts and vendors, both seen and held out.

use super::depth::Depth;
use super::part::Part;
use crate::datasets::Example;
use crate::datasets::emoji::{Concept, Cut, Emoji, Side, TILE, Tile, Vendor};
use crate::embed::Embed;
use crate::embed::rows::evenly_spread;
use crate::eval::baseline::{self, Labelled};
use crate::eval::report::{Report, Row, ZeroShot};
use crate::eval::retrieval::{self, GroundTruth, first_of_each, identify};
use crate::eval::zero_shot::{TopK, class_embeddings};
use crate::pictures::Picture;
use image::RgbImage;
use ndarray::{Array2, Axis, concatenate};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The pictures of two rows of the table, with and without flags, and the baseline's scores on them.
struct Cell {
    concepts: Side,
    vendors: Side,
    tiles: Vec<Tile>,
    raw_pixels: [Option<TopK>; 2],
}

/// The exam on the embedded emoji.
pub struct EmojiExam {
    emoji: Arc<Emoji>,
    cut: Cut,
    cells: Vec<Cell>,
}

impl EmojiExam {
    /// Makes an exam on the vendor that was held out of `cut`, without concepts that it does not have. At full depth it
    /// covers all other vendors as well and measures the baseline on raw pixels.
    pub fn new(emoji: Arc<Emoji>, cut: Cut, depth: Depth) -> Self {
        let vendors: &[Side] = match depth {
            Depth::Quick => &[Side::HeldOut],
            Depth::Full => &[Side::Trained, Side::HeldOut],
        };
        let sides = vendors.iter().flat_map(|&v| [(Side::Trained, v), (Side::HeldOut, v)]);
        let cell = |(concepts, vendors)| {
            let tiles = emoji.exam(cut, concepts, vendors);
            Cell { concepts, vendors, tiles, raw_pixels: [None; 2] }
        };
        let cells = sides.map(cell).filter(|cell| !cell.tiles.is_empty()).collect();
        let mut exam = EmojiExam { emoji, cut, cells };
        if depth == Depth::Full {
            exam.measure_raw_pixels();
        }
        exam
    }

    /// Measures the model and returns the table.
    pub fn report(&self, embedder: &impl Embed) -> Report {
        let labels = embedder.captions(&self.names());
        let classes = self.classes(embedder, &labels);
        let rows = self.cells.iter().flat_map(|cell| {
            let images = embedder.pictures(cell.tiles.len(), |i, picture| self.emoji.paint(cell.tiles[i], picture));
            let has_flags = self.kept(cell, true).len() < cell.tiles.len();
            let cuts: &[bool] = if has_flags { &[false, true] } else { &[false] };
            let row = |&without_flags| self.row(cell, without_flags, &images, &classes, &labels);
            cuts.iter().map(row).collect::<Vec<_>>()
        });
        Report { rows: rows.collect(), ..Report::default() }
    }

    /// Returns the class embedding of each concept, of unit length: the mean of its name's embedding, that of a
    /// sentence with the name, and the mean of its keywords' embeddings. The baseline's vote uses the keywords too.
    ///
    /// `labels` (M,e), the embedded names; result (M,e)
    fn classes(&self, embedder: &impl Embed, labels: &Array2<f32>) -> Array2<f32> {
        let (concepts, n) = (self.emoji.concepts(), labels.nrows());
        let sentences: Vec<_> = self.emoji.names().map(|name| format!("an emoji of {name}")).collect();
        let sentences = embedder.captions(&sentences);
        let keywords = concepts.iter().enumerate().flat_map(|(i, c)| c.keywords.iter().map(move |&word| (word, i)));
        let (keywords, concept): (Vec<_>, Vec<_>) = keywords.unzip();
        // Concepts share keywords; only one in three is new.
        let which = identify(&keywords);
        let distinct: Vec<_> = first_of_each(&which).into_iter().map(|i| keywords[i]).collect();
        let keywords = embedder.captions(&distinct).select(Axis(0), &which);
        let keywords = class_embeddings(keywords.view(), &concept, n);
        let all = concatenate![Axis(0), *labels, sentences, keywords];
        class_embeddings(all.view(), &(0..3 * n).map(|row| row % n).collect::<Vec<_>>(), n)
    }

    fn row(
        &self,
        cell: &Cell,
        without_flags: bool,
        images: &Array2<f32>,
        classes: &Array2<f32>,
        labels: &Array2<f32>,
    ) -> Row {
        let kept = self.kept(cell, without_flags);
        let tiles: Vec<Tile> = kept.iter().map(|&i| cell.tiles[i]).collect();
        let images = images.select(Axis(0), &kept);
        let concepts = concepts_of(&tiles);
        let truth: Vec<usize> =
            tiles.iter().map(|tile| concepts.binary_search(&tile.concept).expect("its own concept")).collect();
        let identity = identify(tiles.iter().map(|&tile| self.picture(tile).samples));
        let own: Vec<usize> = (0..concepts.len()).collect();
        let who = GroundTruth { image_concept: &truth, image_identity: &identity, text_concept: &own };
        let classes = classes.select(Axis(0), &concepts);
        let texts = labels.select(Axis(0), &concepts);
        let raw_pixels = cell.raw_pixels[usize::from(without_flags)];
        Row {
            concepts: if cell.concepts == Side::Trained { "seen" } else { "held-out" }.into(),
            pictures: match cell.vendors {
                Side::Trained => "training vendors".into(),
                Side::HeldOut => format!("{}, held out", self.cut.judge().name()),
            },
            without_flags,
            images: tiles.len(),
            zero_shot: Some(ZeroShot::measure(images.view(), classes.view(), &truth, raw_pixels)),
            retrieval: retrieval::retrieval(images.view(), texts.view(), &who),
            retrieval_chance: retrieval::chance(&who),
        }
    }

    /// Returns the positions of the cell's tiles that a row is about.
    fn kept(&self, cell: &Cell, without_flags: bool) -> Vec<usize> {
        let counts = |i: &usize| !(without_flags && self.concept(cell.tiles[*i]).is_flag());
        (0..cell.tiles.len()).filter(counts).collect()
    }

    fn concept(&self, tile: Tile) -> &Concept {
        &self.emoji.concepts()[tile.concept]
    }

    /// Returns the picture of a tile.
    pub(crate) fn picture(&self, tile: Tile) -> Picture {
        let mut picture = Picture::default();
        self.emoji.paint(tile, &mut picture);
        picture
    }

    /// Returns the picture of a tile as the `image` crate's type.
    fn image(&self, tile: Tile) -> RgbImage {
        RgbImage::from_raw(TILE as u32, TILE as u32, self.picture(tile).samples).expect("an RGB tile")
    }

    /// Returns at most `n` pictures of the held-out vendor, evenly spread over the concepts of one side, without flags.
    pub(crate) fn sample(&self, concepts: Side, n: usize) -> Vec<Tile> {
        let tiles = self.emoji.exam(self.cut, concepts, Side::HeldOut);
        let tiles: Vec<Tile> = tiles.into_iter().filter(|&tile| !self.concept(tile).is_flag()).collect();
        evenly_spread(tiles.len(), n).map(|i| tiles[i]).collect()
    }

    /// Returns the pictures of a [`sample`](Self::sample), captioned with the names of their concepts.
    pub(crate) fn examples(&self, concepts: Side, n: usize) -> Vec<Example> {
        let example = |tile: Tile| Example {
            picture: self.picture(tile),
            caption: self.concept(tile).label.into(),
            ..Example::default()
        };
        self.sample(concepts, n).into_iter().map(example).collect()
    }

    /// Returns at most `n` pictures of the held-out vendor, half of them of seen concepts and half of held-out ones, where
    /// the cut has both.
    pub fn parts(&self, n: usize) -> Vec<Part> {
        let vendor = self.cut.judge().name();
        let titles = [
            (Side::Trained, format!("Seen concepts, drawn by {vendor}, a vendor never trained on")),
            (Side::HeldOut, format!("Held-out concepts, never trained on, drawn by {vendor}")),
        ];
        let there = |side| self.cells.iter().any(|cell| cell.concepts == side);
        let titles: Vec<_> = titles.into_iter().filter(|(side, _)| there(*side)).collect();
        let each = n / titles.len().max(1);
        titles.into_iter().map(|(side, title)| Part { title, examples: self.examples(side, each) }).collect()
    }

    /// Returns the names of the concepts that the cut has.
    pub(crate) fn choices(&self) -> Vec<&'static str> {
        let concepts = self.emoji.concepts().iter().filter(|concept| self.cut.side(concept).is_some());
        concepts.map(|concept| concept.label).collect()
    }

    /// Returns the name of every concept.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.emoji.names().collect()
    }

    /// Measures the baseline on raw pixels in every cell.
    fn measure_raw_pixels(&mut self) {
        let tiles = self.emoji.exam(self.cut, Side::Trained, Side::Trained);
        let words = self.emoji.concepts().iter().map(words).collect();
        let known = Known { features: self.features(&tiles), tiles, words };
        let scores: Vec<_> = (self.cells.iter())
            .map(|cell| {
                let features = self.features(&cell.tiles);
                [false, true]
                    .map(|without_flags| self.raw_pixels(cell, &self.kept(cell, without_flags), &features, &known))
            })
            .collect();
        self.cells.iter_mut().zip(scores).for_each(|(cell, scores)| cell.raw_pixels = scores);
    }

    /// Returns the baseline's score on the `kept` pictures of a cell. It is measured vendor by vendor, since a picture
    /// is compared with pictures of other vendors only; otherwise every training picture would find itself.
    fn raw_pixels(&self, cell: &Cell, kept: &[usize], features: &Array2<f32>, known: &Known) -> Option<TopK> {
        let classes = concepts_of(&kept.iter().map(|&i| cell.tiles[i]).collect::<Vec<_>>());
        mean(Vendor::ALL.into_iter().filter_map(|vendor| {
            let asked: Vec<usize> = kept.iter().copied().filter(|&i| cell.tiles[i].vendor == vendor).collect();
            let others: Vec<usize> = (0..known.tiles.len()).filter(|&i| known.tiles[i].vendor != vendor).collect();
            let (asked_concepts, other_concepts) = (at(&cell.tiles, &asked), at(&known.tiles, &others));
            let (asked_features, other_features) =
                (features.select(Axis(0), &asked), known.features.select(Axis(0), &others));
            let pictures = Labelled { features: asked_features.view(), concept: &asked_concepts };
            let others = Labelled { features: other_features.view(), concept: &other_concepts };
            let score = match cell.concepts {
                _ if asked.is_empty() => return None,
                Side::Trained => baseline::nearest(pictures, others, &classes),
                Side::HeldOut => baseline::vote(pictures, others, &classes, &known.words),
            };
            Some((asked.len() as f64, score))
        }))
    }

    fn features(&self, tiles: &[Tile]) -> Array2<f32> {
        baseline::features(&tiles.iter().map(|&tile| self.image(tile)).collect::<Vec<_>>())
    }
}

/// The training pictures as the baseline knows them: by pixels and words.
struct Known {
    tiles: Vec<Tile>,
    features: Array2<f32>,
    /// The distinct words of every concept.
    words: Vec<Vec<String>>,
}

/// Returns the distinct concepts of these pictures, ascending.
fn concepts_of(tiles: &[Tile]) -> Vec<usize> {
    tiles.iter().map(|tile| tile.concept).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Returns the concepts of the tiles at these positions.
fn at(tiles: &[Tile], places: &[usize]) -> Vec<usize> {
    places.iter().map(|&i| tiles[i].concept).collect()
}

/// Returns the distinct words of a concept's name and keywords.
fn words(concept: &Concept) -> Vec<String> {
    let text = std::iter::once(concept.label).chain(concept.keywords.iter().copied());
    let words = text.flat_map(|text| text.split(|c: char| !c.is_alphanumeric()));
    words.filter(|word| !word.is_empty()).map(str::to_lowercase).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Returns the mean of scores, each weighted by its number of pictures, or `None` without scores.
fn mean(scores: impl Iterator<Item = (f64, TopK)>) -> Option<TopK> {
    let (mut n, mut sum) = (0.0, TopK { top1: 0.0, top5: 0.0 });
    for (pictures, score) in scores {
        n += pictures;
        sum.top1 += pictures * score.top1;
        sum.top5 += pictures * score.top5;
    }
    (n > 0.0).then(|| TopK { top1: sum.top1 / n, top5: sum.top5 / n })
}
