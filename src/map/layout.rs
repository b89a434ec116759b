//! Where vectors lie on the map: t-SNE (van der Maaten and Hinton 2008).
//!
//! ```text
//! qᵢⱼ   = aᵢⱼ / Z                       aᵢⱼ = 1 / (1 + |yᵢ − yⱼ|²),   Z = Σᵢ Σⱼ aᵢⱼ
//! loss  = Σᵢ Σⱼ pᵢⱼ ln(pᵢⱼ / qᵢⱼ)
//! ```
//! P, Q (N,N), y (N,2)
//!
//! # Derivation
//! Since P sums to 1, the loss is a constant + Σᵢ Σⱼ pᵢⱼ ln(1 + |yᵢ − yⱼ|²) + ln Z. yᵢ is in row i and in column i of both
//! terms, which are symmetric:
//!
//! ```text
//! ∂/∂yᵢ of the first  =  4 Σⱼ pᵢⱼ aᵢⱼ (yᵢ − yⱼ)             the pull of what belongs together
//! ∂/∂yᵢ of the second = −4 Σⱼ aᵢⱼ² (yᵢ − yⱼ) / Z            the push of all on all
//! ```
//! The pull has as many terms as P, the push is that of a quadtree.
//!
//! **The descent** has momentum, and a gain for each coordinate that grows while it goes one way (Jacobs 1988). At first P
//! is multiplied by 12, so that groups find together before they push others away; the rate is N/48, as is right for this
//! factor and this gradient (Belkina et al. 2019).

use super::Point;
use super::affinities::Affinities;
use super::directions::principal_components;
use super::neighbours::nearest;
use super::quadtree::Quadtree;
use crate::progress::{Progress, Stopped, Watch};
use crate::random::normals;
use ndarray::ArrayView2;
use rayon::prelude::*;

/// Number of steps: those of exaggerated pull, and all.
const EARLY: usize = 250;
pub const STEPS: usize = 750;
const EXAGGERATION: f64 = 12.0;
/// The share of a step that stays in the next, in the early steps and then.
const MOMENTUM: [f64; 2] = [0.5, 0.8];
const MIN_RATE: f64 = 50.0;
const MIN_GAIN: f64 = 0.01;
/// How coarse the push is.
const THETA: f64 = 0.5;
/// Number of neighbours that count, as the exponential of an entropy, and how many times as many are looked at.
const PERPLEXITY: f64 = 30.0;
const NEIGHBOURS: usize = 3;
/// Standard deviation of the first coordinate at the beginning, and the share of it that lots are drawn with: copies of a
/// picture would otherwise never part.
const SPREAD: f64 = 1e-4;
const JITTER: f64 = 0.01;
/// Fewer vectors have too few neighbours.
const MIN_ROWS: usize = 8;

/// Returns a map by the two directions in which vectors differ most, the first from left to right.
///
/// `x` (N,e)
pub fn by_principal_components(x: ArrayView2<f32>) -> Vec<Point> {
    let y = principal_components(x, 2);
    y.rows().into_iter().map(|y| [f64::from(y[0]), f64::from(y[1])]).collect()
}

/// Returns a map on which the neighbours of a vector lie around it. It is the same on any number of threads. Fewer than 8
/// vectors lie as [`by_principal_components`] puts them.
///
/// `x` (N,e), rows of unit length
///
/// # Errors
/// Returns an error if `watch` does.
pub fn by_neighbours(x: ArrayView2<f32>, watch: Watch) -> Result<Vec<Point>, Stopped> {
    let n = x.nrows();
    let mut y = by_principal_components(x);
    if n < MIN_ROWS {
        return Ok(y);
    }
    let perplexity = PERPLEXITY.min((n - 1) as f64 / NEIGHBOURS as f64);
    let neighbours = nearest(x, (NEIGHBOURS as f64 * perplexity) as usize, watch)?;
    let p = Affinities::new(&neighbours, perplexity);
    begin(&mut y);
    descend(&p, &mut y, watch)?;
    Ok(y)
}

/// Scales a map down to where all points feel each other.
fn begin(y: &mut [Point]) {
    let variance = y.iter().map(|point| point[0] * point[0]).sum::<f64>() / y.len() as f64;
    let scale = if variance > 0.0 { SPREAD / variance.sqrt() } else { 0.0 };
    let lots = normals((y.len(), 2), 0);
    for (point, lots) in y.iter_mut().zip(lots.rows()) {
        for (place, &lot) in point.iter_mut().zip(lots) {
            *place = *place * scale + SPREAD * JITTER * f64::from(lot);
        }
    }
}

/// Lets points find their places.
fn descend(p: &Affinities, y: &mut [Point], watch: Watch) -> Result<(), Stopped> {
    let rate = (y.len() as f64 / (4.0 * EXAGGERATION)).max(MIN_RATE);
    let (mut steps, mut gains) = (vec![[0.0; 2]; y.len()], vec![[1.0f64; 2]; y.len()]);
    for done in 0..STEPS {
        let (exaggeration, momentum) = if done < EARLY { (EXAGGERATION, MOMENTUM[0]) } else { (1.0, MOMENTUM[1]) };
        let dy = gradient(p, y, exaggeration, THETA);
        for (((y, dy), step), gain) in y.iter_mut().zip(&dy).zip(&mut steps).zip(&mut gains) {
            for axis in 0..2 {
                let goes_on = (dy[axis] > 0.0) != (step[axis] > 0.0);
                gain[axis] = if goes_on { gain[axis] + 0.2 } else { (gain[axis] * 0.8).max(MIN_GAIN) };
                step[axis] = momentum * step[axis] - rate * gain[axis] * dy[axis];
                y[axis] += step[axis];
            }
        }
        centre(y);
        watch(Progress { what: "steps", done: done + 1, todo: STEPS })?;
    }
    Ok(())
}

/// Moves a map so that its middle is at 0.
fn centre(y: &mut [Point]) {
    let n = y.len() as f64;
    let mean = [0, 1].map(|axis| y.iter().map(|point| point[axis]).sum::<f64>() / n);
    y.iter_mut().for_each(|point| *point = [point[0] - mean[0], point[1] - mean[1]]);
}

/// dyᵢ = 4 (a Σⱼ pᵢⱼ aᵢⱼ (yᵢ − yⱼ) − Σⱼ aᵢⱼ² (yᵢ − yⱼ) / Z), where the a by itself exaggerates the pull
fn gradient(p: &Affinities, y: &[Point], exaggeration: f64, theta: f64) -> Vec<Point> {
    let pushes = Quadtree::new(y).pushes(theta);
    let z: f64 = pushes.iter().map(|push| push.sum).sum();
    let of_point = |i: usize| {
        let mut pull = [0.0; 2];
        for (j, p) in p.row(i) {
            let [dx, dy] = [y[i][0] - y[j][0], y[i][1] - y[j][1]];
            let weight = p / (1.0 + dx * dx + dy * dy);
            pull = [pull[0] + weight * dx, pull[1] + weight * dy];
        }
        [0, 1].map(|axis| 4.0 * (exaggeration * pull[axis] - pushes[i].force[axis] / z))
    };
    (0..p.rows()).into_par_iter().with_min_len(64).map(of_point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::normalize::unit;
    use ndarray::Array2;

    /// N unit vectors around so many directions.
    fn groups(n: usize, e: usize, count: usize) -> Array2<f32> {
        let (centres, noise) = (normals((count, e), 1), normals((n, e), 2));
        unit(Array2::from_shape_fn((n, e), |(i, j)| centres[[i % count, j]] + 0.5 * noise[[i, j]]).view())
    }

    /// The loss by its definition, over all pairs.
    fn loss(p: &Affinities, y: &[Point]) -> f64 {
        let a = |i: usize, j: usize| 1.0 / (1.0 + (y[i][0] - y[j][0]).powi(2) + (y[i][1] - y[j][1]).powi(2));
        let pairs = || (0..y.len()).flat_map(|i| (0..y.len()).filter(move |&j| j != i).map(move |j| (i, j)));
        let z: f64 = pairs().map(|(i, j)| a(i, j)).sum();
        (0..y.len())
            .flat_map(|i| p.row(i).map(move |(j, p)| (i, j, p)))
            .map(|(i, j, p)| p * (p * z / a(i, j)).ln())
            .sum()
    }

    fn affinities(x: &Array2<f32>, perplexity: f64) -> Affinities {
        Affinities::new(&nearest(x.view(), 3 * perplexity as usize, &|_| Ok(())).unwrap(), perplexity)
    }

    #[test]
    fn the_gradient_is_that_of_the_loss() {
        let x = groups(60, 16, 4);
        let p = affinities(&x, 9.0);
        let draws = normals((60, 2), 3).mapv(f64::from);
        let mut y: Vec<Point> = draws.rows().into_iter().map(|row| [2.0 * row[0], row[1]]).collect();
        let dy = gradient(&p, &y, 1.0, 0.0);
        let scale = dy.iter().flatten().fold(0.0f64, |most, d| most.max(d.abs()));
        let h = 1e-5;
        for i in 0..60 {
            for axis in 0..2 {
                let at = y[i][axis];
                let [above, below] = [at + h, at - h].map(|place| {
                    y[i][axis] = place;
                    loss(&p, &y)
                });
                y[i][axis] = at;
                let expected = (above - below) / (2.0 * h);
                assert!(
                    (dy[i][axis] - expected).abs() < 1e-8 * scale.max(1.0),
                    "{i} {axis}: {} {expected}",
                    dy[i][axis]
                );
            }
        }
    }

    #[test]
    fn neighbours_stay_together_and_groups_apart() {
        let (n, count) = (400, 8);
        let x = groups(n, 32, count);
        let y = by_neighbours(x.view(), &|_| Ok(())).unwrap();
        let square = |i: usize, j: usize| (y[i][0] - y[j][0]).powi(2) + (y[i][1] - y[j][1]).powi(2);
        let right = |&i: &usize| {
            let nearest = (0..n).filter(|&j| j != i).min_by(|&a, &b| square(i, a).total_cmp(&square(i, b)));
            nearest.is_some_and(|j| j % count == i % count)
        };
        assert_eq!((0..n).filter(right).count(), n);
        let p = affinities(&x, PERPLEXITY);
        let by_components = by_principal_components(x.view());
        assert!(loss(&p, &y) < 0.6 * loss(&p, &by_components), "{} {}", loss(&p, &y), loss(&p, &by_components));
    }

    #[test]
    fn the_map_is_the_same_on_one_thread() {
        let x = groups(150, 16, 5);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let [one, all] = [pool.install(|| by_neighbours(x.view(), &|_| Ok(()))), by_neighbours(x.view(), &|_| Ok(()))];
        assert_eq!(one.unwrap(), all.unwrap());
    }

    #[test]
    fn few_vectors_and_copies_have_places_too() {
        for x in [groups(1, 8, 1), groups(7, 8, 2), Array2::from_elem((40, 4), 0.5), Array2::zeros((0, 4))] {
            let y = by_neighbours(x.view(), &|_| Ok(())).unwrap();
            assert!(y.len() == x.nrows() && y.iter().flatten().all(|place| place.is_finite()));
        }
        let y = by_neighbours(Array2::from_elem((40, 4), 0.5).view(), &|_| Ok(())).unwrap();
        assert!((1..40).all(|i| y[i] != y[0]), "copies lie beside each other");
    }

    #[test]
    fn whoever_watches_can_stop_it() {
        let watch =
            |Progress { what, done, .. }: Progress| if what == "steps" && done == 3 { Err(Stopped) } else { Ok(()) };
        assert_eq!(by_neighbours(groups(50, 8, 2).view(), &watch), Err(Stopped));
    }
}
