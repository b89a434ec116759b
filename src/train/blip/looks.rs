//! The pairs that the ITM head judges in a micro-batch: each picture with its own text, with the text that was drawn for
//! it, and with every text for which it was drawn.
//!
//! A pair that was drawn both ways is the same pair twice; it is computed once and counts twice.

use super::negatives::Negatives;
use std::ops::Range;

/// The classes of the ITM head.
const NO_MATCH: u32 = 0;
const MATCH: u32 = 1;

/// The judged pairs of a range of pictures, those of one picture together.
#[derive(Default)]
pub(super) struct Looks {
    /// The text of each pair, by its place in the batch of all ranks.
    pub texts: Vec<usize>,
    /// The class of each pair, and how often it counts.
    pub classes: Vec<(u32, f32)>,
    /// The place of each pair among those of all ranks: a picture has a place for itself with its own text, one
    /// for what was drawn for its text, and one for what was drawn for itself.
    pub places: Vec<u32>,
    /// The pairs of each picture.
    pub of_pictures: Vec<Range<usize>>,
}

impl Looks {
    /// Takes the pairs of these of this rank's pictures. Buffers are reused.
    pub fn fill(&mut self, pictures: Range<usize>, negatives: &Negatives) {
        self.texts.clear();
        self.classes.clear();
        self.places.clear();
        self.of_pictures.clear();
        for picture in pictures {
            let (start, place) = (self.texts.len(), negatives.first + picture);
            self.push(place, MATCH, 3 * place);
            for (text, drawn) in negatives.of_all_texts.iter().enumerate() {
                if *drawn == Some(place) {
                    self.push(text, NO_MATCH, 3 * text + 1);
                }
            }
            if let Some(text) = negatives.texts.drawn[picture] {
                match self.texts[start + 1..].iter().position(|&other| other == text) {
                    Some(same) => self.classes[start + 1 + same].1 += 1.0,
                    None => self.push(text, NO_MATCH, 3 * place + 2),
                }
            }
            self.of_pictures.push(start..self.texts.len());
        }
    }

    fn push(&mut self, text: usize, class: u32, place: usize) {
        self.texts.push(text);
        self.places.push(place as u32);
        self.classes.push((class, 1.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_is_judged_once_where_its_picture_is() {
        let mut negatives = Negatives { of_all_texts: vec![Some(1), Some(2), Some(1), None], ..Negatives::default() };
        negatives.texts.drawn = vec![Some(3), Some(2), Some(0), None];
        let mut looks = Looks::default();
        looks.fill(0..2, &negatives);
        assert_eq!(looks.of_pictures, [0..2, 2..5]);
        assert_eq!(looks.texts, [0, 3, 1, 0, 2]);
        assert_eq!(looks.classes, [(1, 1.0), (0, 1.0), (1, 1.0), (0, 1.0), (0, 2.0)]);
        assert_eq!(looks.places, [0, 2, 3, 1, 7]);
        looks.fill(2..4, &negatives);
        assert_eq!((&looks.texts[..], &looks.of_pictures[..]), (&[2, 1, 0, 3][..], &[0..3, 3..4][..]));
        assert_eq!(negatives.judged(), 6);
    }

    /// The second of two ranks judges what its own pictures were drawn for, wherever the text is.
    #[test]
    fn a_pair_is_judged_on_the_rank_of_its_picture() {
        let of_all_texts = vec![Some(1), Some(2), Some(1), Some(0)];
        let mut negatives = Negatives { first: 2, of_all_texts, ..Negatives::default() };
        negatives.texts.drawn = vec![Some(0), Some(2)];
        let mut looks = Looks::default();
        looks.fill(0..2, &negatives);
        assert_eq!((&looks.texts[..], &looks.of_pictures[..]), (&[2, 1, 0, 3, 2][..], &[0..3, 3..5][..]));
        assert_eq!(looks.places, [6, 4, 8, 9, 11]);
        assert_eq!(negatives.judged(), 3);
    }
}
