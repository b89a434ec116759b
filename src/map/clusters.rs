//! Groups of vectors, and the words that name them.
//!
//! **k-means.** Each vector belongs to the nearest mean, each mean is that of its vectors, and both are repeated until no
//! vector changes (Lloyd 1982). The first means are vectors that are drawn by lot, each with a chance in proportion to its
//! squared distance from those before (Arthur and Vassilvitskii 2007), and always the same ones.
//!
//! **Names.** A word fits a group whose mean, as seen from the mean of all vectors, lies where the word's embedding lies as
//! seen from the mean of all words. Without the two means a word that fits everything would fit every group best, and
//! pictures and texts would not be comparable: they lie in regions of their own (Liang et al. 2022).

use super::directions::{mean, product};
use crate::layers::mat;
use crate::layers::normalize::unit;
use crate::random::rng;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};
use rand::RngExt;

/// The most rounds; most often a tenth of them is enough.
const ROUNDS: usize = 100;
/// The most groups that are made if nobody says how many.
const MAX_DEFAULT: usize = 24;

/// Groups of vectors, the largest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Clusters {
    /// The group of each vector.
    pub of: Vec<usize>,
    /// The mean of each group.
    ///
    /// (K,e)
    pub means: Array2<f32>,
    /// The mean of all vectors.
    ///
    /// (e)
    pub mean: Array1<f32>,
}

/// Returns how many groups give a map of N vectors names enough and not too many: half the root of N, at most 24.
pub fn default_clusters(n: usize) -> usize {
    ((n as f64).sqrt() / 2.0).round().clamp(1.0, MAX_DEFAULT as f64) as usize
}

/// Divides vectors into at most so many groups. None is empty: where vectors are fewer, or the same, there are fewer groups.
///
/// `x` (N,e)
pub fn cluster(x: ArrayView2<f32>, count: usize) -> Clusters {
    let mut means = first_means(x, count);
    let mut of = vec![usize::MAX; x.nrows()];
    for _ in 0..ROUNDS {
        let now = nearest_means(x, &means);
        if now == of {
            break;
        }
        of = now;
        means = means_of(x, &of, means.nrows());
    }
    largest_first(Clusters { of, means, mean: mean(x) })
}

/// Draws vectors that are far from each other.
///
/// result (K,e)
fn first_means(x: ArrayView2<f32>, count: usize) -> Array2<f32> {
    let mut rng = rng(&[0]);
    let mut chosen: Vec<usize> = (0..x.nrows()).take(1).map(|_| rng.random_range(0..x.nrows())).collect();
    let mut squares = vec![f64::INFINITY; x.nrows()];
    while let Some(&last) = chosen.last().filter(|_| chosen.len() < count) {
        for (square, row) in squares.iter_mut().zip(x.rows()) {
            *square = square.min(distance2(row, x.row(last)));
        }
        let sum: f64 = squares.iter().sum();
        let mut lot = rng.random_range(0.0..1.0) * sum;
        let drawn = squares.iter().position(|square| {
            lot -= square;
            lot < 0.0 && *square > 0.0
        });
        // All that are left are copies of those that are chosen.
        let Some(drawn) = drawn else { break };
        chosen.push(drawn);
    }
    x.select(Axis(0), &chosen)
}

/// |x − y|²
fn distance2(x: ArrayView1<f32>, y: ArrayView1<f32>) -> f64 {
    x.iter().zip(y).map(|(x, y)| f64::from(x - y).powi(2)).sum()
}

/// Returns the nearest mean of each vector: that with the largest ⟨x, μ⟩ − |μ|²/2, and of equal ones the first.
fn nearest_means(x: ArrayView2<f32>, means: &Array2<f32>) -> Vec<usize> {
    let halves: Vec<f32> = means.rows().into_iter().map(|mean| mean.dot(&mean) / 2.0).collect();
    let nearest = |products: ArrayView1<f32>| {
        let scores = products.iter().zip(&halves).map(|(product, half)| product - half);
        let best = |best: (usize, f32), next: (usize, f32)| if next.1 > best.1 { next } else { best };
        scores.enumerate().fold((0, f32::NEG_INFINITY), best).0
    };
    product(mat(x), mat(means.view()).t()).rows().into_iter().map(nearest).collect()
}

/// Returns the mean of each group. Where one is empty, it is 0.
///
/// result (K,e)
fn means_of(x: ArrayView2<f32>, of: &[usize], count: usize) -> Array2<f32> {
    let (mut sums, mut sizes) = (Array2::<f64>::zeros((count, x.ncols())), vec![0.0f64; count]);
    for (row, &group) in x.rows().into_iter().zip(of) {
        sums.row_mut(group).zip_mut_with(&row, |sum, &x| *sum += f64::from(x));
        sizes[group] += 1.0;
    }
    for (mut sum, size) in sums.rows_mut().into_iter().zip(sizes) {
        sum /= size.max(1.0);
    }
    sums.mapv(|sum| sum as f32)
}

/// Puts groups in order and leaves empty ones out.
fn largest_first(Clusters { of, means, mean }: Clusters) -> Clusters {
    let mut sizes = vec![0; means.nrows()];
    of.iter().for_each(|&group| sizes[group] += 1);
    let mut order: Vec<usize> = (0..sizes.len()).filter(|&group| sizes[group] > 0).collect();
    order.sort_by_key(|&group| std::cmp::Reverse(sizes[group]));
    let mut place = vec![0; sizes.len()];
    order.iter().enumerate().for_each(|(new, &old)| place[old] = new);
    Clusters { of: of.into_iter().map(|group| place[group]).collect(), means: means.select(Axis(0), &order), mean }
}

/// Returns for each group the place of the word that names it, if there is one left: no two groups have the same. The pair
/// that fits best comes first.
///
/// `words` (M,e), rows of unit length
pub fn names(clusters: &Clusters, words: ArrayView2<f32>) -> Vec<Option<usize>> {
    let own = &clusters.means - &clusters.mean;
    let fits = product(mat(unit(own.view()).view()), mat((&words - &mean(words)).view()).t());
    // The only group is seen nowhere from itself.
    let known = fits.indexed_iter().filter(|(_, fit)| fit.is_finite());
    let mut pairs: Vec<(f32, usize, usize)> = known.map(|((i, j), &fit)| (fit, i, j)).collect();
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let (mut names, mut is_used) = (vec![None; own.nrows()], vec![false; words.nrows()]);
    for (_, group, word) in pairs {
        if names[group].is_none() && !is_used[word] {
            (names[group], is_used[word]) = (Some(word), true);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::normals;

    /// Unit vectors around so many directions, the first of which has most of them.
    fn groups(sizes: &[usize], e: usize) -> (Array2<f32>, Vec<usize>) {
        let (centres, noise) = (normals((sizes.len(), e), 1), normals((sizes.iter().sum(), e), 2));
        let of: Vec<usize> = sizes.iter().enumerate().flat_map(|(group, &size)| vec![group; size]).collect();
        let x = Array2::from_shape_fn(noise.dim(), |(i, j)| centres[[of[i], j]] + 0.3 * noise[[i, j]]);
        (unit(x.view()), of)
    }

    #[test]
    fn groups_that_lie_apart_are_found_and_the_largest_is_the_first() {
        let (x, of) = groups(&[50, 40, 30, 20], 16);
        let found = cluster(x.view(), 4);
        assert_eq!(found.of, of);
        for (group, mean) in found.means.rows().into_iter().enumerate() {
            let own: Vec<usize> = (0..x.nrows()).filter(|&i| of[i] == group).collect();
            let expected = x.select(Axis(0), &own).mean_axis(Axis(0)).unwrap();
            assert!(distance2(mean, expected.view()) < 1e-10);
        }
    }

    #[test]
    fn no_vector_is_nearer_to_another_mean() {
        let x = unit(normals((300, 8), 4).view());
        let Clusters { of, means, .. } = cluster(x.view(), 12);
        for (row, &group) in x.rows().into_iter().zip(&of) {
            let own = distance2(row, means.row(group));
            assert!(means.rows().into_iter().all(|mean| own <= distance2(row, mean) + 1e-6));
        }
    }

    #[test]
    fn there_are_no_more_groups_than_different_vectors() {
        let same = Array2::from_elem((9, 4), 0.5);
        assert_eq!(cluster(same.view(), 3).means.nrows(), 1);
        assert_eq!(cluster(groups(&[1, 1], 4).0.view(), 5).means.nrows(), 2);
        assert_eq!(cluster(Array2::zeros((0, 4)).view(), 5).means.nrows(), 0);
        assert_eq!([1, 60, 1000, 100_000].map(default_clusters), [1, 4, 16, 24]);
    }

    #[test]
    fn names_are_those_of_the_directions_and_none_twice() {
        let (x, of) = groups(&[50, 40, 30], 32);
        let clusters = cluster(x.view(), 3);
        assert_eq!(clusters.of, of);
        // Words beside the groups, in a region of their own, with one that lies between all of them.
        let region = 5.0 * &normals((1, 32), 9);
        let centres = normals((3, 32), 1);
        let between = centres.mean_axis(Axis(0)).unwrap().insert_axis(Axis(0));
        let rows = [between.view(), centres.view(), normals((6, 32), 7).view()].map(|part| part.to_owned());
        let views: Vec<_> = rows.iter().map(|part| part.view()).collect();
        let words = unit((&ndarray::concatenate(Axis(0), &views).unwrap() + &region).view());
        assert_eq!(names(&clusters, words.view()), [Some(1), Some(2), Some(3)]);
        // Fewer words than groups: the ones that fit best are named.
        let few = names(&clusters, words.slice_axis(Axis(0), ndarray::Slice::from(2..4)));
        assert_eq!(few, [None, Some(0), Some(1)]);
        assert_eq!(names(&cluster(x.view(), 1), words.view()), [None]);
    }
}
