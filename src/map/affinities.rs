//! How much each vector belongs beside each of its neighbours, as one matrix of few numbers a row.
//!
//! ```text
//! pⱼ|ᵢ = exp(−βᵢ |xᵢ − xⱼ|²) / Σₗ exp(−βᵢ |xᵢ − xₗ|²)
//! pᵢⱼ  = (pⱼ|ᵢ + pᵢ|ⱼ) / 2N
//! ```
//! P (N,N)
//!
//! j and l go over the neighbours of i. βᵢ is such that the entropy of pⱼ|ᵢ is the logarithm of the perplexity, which is
//! thereby a number of neighbours: where vectors lie close together, only the closest count (van der Maaten and Hinton
//! 2008, section 2). Neighbours beyond three times the perplexity have no share that counts (van der Maaten 2014, section
//! 4.1).

use super::neighbours::Neighbour;
use rayon::prelude::*;

/// Rounds of bisection for β.
const ROUNDS: usize = 60;
/// The entropy comes out to this.
const TOLERANCE: f64 = 1e-6;

/// P with the places of its numbers, row after row.
pub(super) struct Affinities {
    /// Where each row begins, and behind them where the last one ends.
    starts: Vec<usize>,
    others: Vec<usize>,
    values: Vec<f64>,
}

impl Affinities {
    /// Makes P of the neighbours of unit vectors.
    pub fn new(neighbours: &[Vec<Neighbour>], perplexity: f64) -> Self {
        let n = neighbours.len();
        let shares: Vec<Vec<f64>> = neighbours.par_iter().map(|near| shares(near, perplexity)).collect();
        let mut rows: Vec<Vec<(usize, f64)>> = vec![vec![]; n];
        for (i, (near, shares)) in neighbours.iter().zip(&shares).enumerate() {
            for (Neighbour { place: j, .. }, share) in near.iter().zip(shares) {
                rows[i].push((*j, share / (2 * n) as f64));
                rows[*j].push((i, share / (2 * n) as f64));
            }
        }
        rows.par_iter_mut().for_each(merge);
        let ends = rows.iter().scan(0, |end, row| {
            *end += row.len();
            Some(*end)
        });
        let starts = std::iter::once(0).chain(ends).collect();
        let (others, values) = rows.into_iter().flatten().unzip();
        Affinities { starts, others, values }
    }

    pub fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// Returns the numbers of row i that are not 0, each with its column.
    pub fn row(&self, i: usize) -> impl Iterator<Item = (usize, f64)> {
        let range = self.starts[i]..self.starts[i + 1];
        self.others[range.clone()].iter().copied().zip(self.values[range].iter().copied())
    }
}

/// Sorts the numbers of a row by their columns, and adds those of the same column: i may be near j and j near i.
fn merge(row: &mut Vec<(usize, f64)>) {
    row.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    row.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        kept.1 += if same { next.1 } else { 0.0 };
        same
    });
}

/// Returns pⱼ|ᵢ of the neighbours of one vector.
fn shares(near: &[Neighbour], perplexity: f64) -> Vec<f64> {
    // |xᵢ − xⱼ|² of unit vectors, from that of the nearest on: this cancels in the quotient, and keeps exp from 0.
    let square = |near: &Neighbour| 2.0 - 2.0 * f64::from(near.score);
    let nearest = near.iter().map(square).fold(f64::INFINITY, f64::min);
    let squares: Vec<f64> = near.iter().map(|near| square(near) - nearest).collect();
    let (mut low, mut high, mut beta) = (0.0, f64::INFINITY, 1.0);
    for _ in 0..ROUNDS {
        let error = entropy(&squares, beta) - perplexity.ln();
        if error.abs() < TOLERANCE {
            break;
        }
        // The larger β is, the fewer neighbours count.
        if error > 0.0 {
            low = beta
        } else {
            high = beta
        };
        beta = if high.is_finite() { (low + high) / 2.0 } else { 2.0 * beta };
    }
    let weights: Vec<f64> = squares.iter().map(|square| (-beta * square).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / sum).collect()
}

/// −Σⱼ pⱼ ln pⱼ = ln Σⱼ aⱼ + β Σⱼ aⱼ|xᵢ − xⱼ|² / Σⱼ aⱼ, where a is the weight before it is divided by the sum
fn entropy(squares: &[f64], beta: f64) -> f64 {
    let weight = |square: &f64| (-beta * square).exp();
    let sum: f64 = squares.iter().map(weight).sum();
    let moment: f64 = squares.iter().map(|square| square * weight(square)).sum();
    sum.ln() + beta * moment / sum
}

#[cfg(test)]
mod tests {
    use super::super::neighbours::nearest;
    use super::*;
    use crate::layers::normalize::unit;
    use crate::random::normals;

    #[test]
    fn rows_have_the_perplexity_and_the_whole_is_a_symmetric_distribution() {
        let x = unit(normals((300, 16), 5).view());
        let neighbours = nearest(x.view(), 45, &|_| Ok(())).unwrap();
        for near in &neighbours {
            let entropy: f64 = -shares(near, 15.0).iter().map(|p| p * p.ln()).sum::<f64>();
            assert!((entropy.exp() - 15.0).abs() < 1e-4, "{entropy}");
        }
        let p = Affinities::new(&neighbours, 15.0);
        let all: Vec<Vec<(usize, f64)>> = (0..300).map(|i| p.row(i).collect()).collect();
        let sum: f64 = all.iter().flatten().map(|(_, p)| p).sum();
        assert!((sum - 1.0).abs() < 1e-12, "{sum}");
        for (i, row) in all.iter().enumerate() {
            assert!(row.is_sorted_by(|a, b| a.0 < b.0) && row.iter().all(|(j, p)| *j != i && *p > 0.0));
            for (j, p) in row {
                assert_eq!(all[*j].iter().find(|(other, _)| *other == i), Some(&(i, *p)), "{i} {j}");
            }
        }
    }

    #[test]
    fn copies_share_alike() {
        let near: Vec<Neighbour> = (0..9).map(|place| Neighbour { place, score: 1.0 }).collect();
        assert!(shares(&near, 3.0).iter().all(|p| (p - 1.0 / 9.0).abs() < 1e-12));
    }
}
