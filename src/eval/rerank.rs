//! Retrieval with re-ranking, as BLIP evaluates it: cosines choose candidates, and the head that judges matches ranks
//! them (Li et al. 2022, section 5.1 and Salesforce's `train_retrieval.py`, `evaluation`).
//!
//! For each picture the k texts of largest cosine, and for each text the k pictures, get the score
//! ITM logit + cosine; all other pairs get [`OUTSIDE`]. The logit is that of a match alone, before the softmax.

use crate::best::{Best, Scored};
use ndarray::{Array2, ArrayView2};

/// The score of a pair that is not among the candidates.
pub const OUTSIDE: f32 = -100.0;

/// The scores of all pairs, by which of both chose the candidates.
#[derive(Clone, Debug, PartialEq)]
pub struct Reranked {
    /// The scores (pictures, texts) if each picture chose its texts.
    pub texts_of_images: Array2<f32>,
    /// The scores (texts, pictures) if each text chose its pictures.
    pub images_of_texts: Array2<f32>,
}

/// Re-ranks the `k` best candidates of each picture and of each text, or all if there are fewer.
///
/// `cosines` (pictures, texts)
///
/// `judge(texts_of)` returns for each picture the logit of a match with each of its texts. A pair that both sides chose is
/// judged once.
///
/// # Errors
/// Returns the error of `judge`.
pub fn rerank<E>(
    cosines: ArrayView2<f32>,
    k: usize,
    judge: impl FnOnce(&[Vec<usize>]) -> Result<Vec<Vec<f32>>, E>,
) -> Result<Reranked, E> {
    let (images, texts) = cosines.dim();
    let by_image: Vec<Vec<usize>> = cosines.rows().into_iter().map(|row| best(row.iter(), k)).collect();
    let by_text: Vec<Vec<usize>> = cosines.columns().into_iter().map(|column| best(column.iter(), k)).collect();
    let mut reranked = Reranked {
        texts_of_images: Array2::from_elem((images, texts), OUTSIDE),
        images_of_texts: Array2::from_elem((texts, images), OUTSIDE),
    };
    let texts_of = |image: usize| -> Vec<usize> {
        (0..texts).filter(|text| by_image[image].contains(text) || by_text[*text].contains(&image)).collect()
    };
    let texts_of: Vec<Vec<usize>> = (0..images).map(texts_of).collect();
    for (image, logits) in judge(&texts_of)?.into_iter().enumerate() {
        for (&text, logit) in texts_of[image].iter().zip(logits) {
            let score = logit + cosines[[image, text]];
            if by_image[image].contains(&text) {
                reranked.texts_of_images[[image, text]] = score;
            }
            if by_text[text].contains(&image) {
                reranked.images_of_texts[[text, image]] = score;
            }
        }
    }
    Ok(reranked)
}

/// Returns the places of the `k` largest numbers, of equals the first.
fn best<'a>(numbers: impl Iterator<Item = &'a f32>, k: usize) -> Vec<usize> {
    let mut best = Best::new(k);
    numbers.enumerate().for_each(|(place, &score)| best.offer(Scored { score, place }));
    best.sorted().into_iter().map(|scored| scored.place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;
    use std::convert::Infallible;

    #[test]
    fn only_candidates_are_judged_and_each_pair_once() {
        let cosines = array![[0.9, 0.1, 0.2], [0.3, 0.8, 0.7]];
        let mut judged = vec![];
        let Ok(reranked) = rerank(cosines.view(), 1, |texts_of| -> Result<_, Infallible> {
            judged = texts_of.to_vec();
            let of =
                |(image, texts): (usize, &Vec<usize>)| texts.iter().map(|text| (10 * image + text) as f32).collect();
            Ok(texts_of.iter().enumerate().map(of).collect())
        });
        assert_eq!(judged, [vec![0], vec![1, 2]]);
        assert_eq!(reranked.texts_of_images, array![[0.9, OUTSIDE, OUTSIDE], [OUTSIDE, 11.8, OUTSIDE]]);
        assert_eq!(reranked.images_of_texts, array![[0.9, OUTSIDE], [OUTSIDE, 11.8], [OUTSIDE, 12.7]]);
        let none = |texts_of: &[Vec<usize>]| -> Result<_, Infallible> {
            Ok(texts_of.iter().map(|texts| vec![0.0; texts.len()]).collect())
        };
        let Ok(all) = rerank(cosines.view(), 9, none);
        assert_eq!(all.texts_of_images, cosines);
        assert_eq!(all.images_of_texts, cosines.t());
        let Ok(none) = rerank(Array2::zeros((0, 3)).view(), 2, none);
        assert_eq!(none.images_of_texts.dim(), (3, 0));
    }
}
