//! The push of all points on one: a quadtree of the plane, in which what is far away counts as one heavy point (Barnes
//! and Hut 1986; van der Maaten 2014).
//!
//! ```text
//! aⱼ   = 1 / (1 + |y − yⱼ|²)
//! push = Σⱼ aⱼ² (y − yⱼ)          sum = Σⱼ aⱼ
//! ```
//! A cell whose side is at most θ times as long as the way to its centre of mass stands for all its points. With θ = 0
//! nothing does, and the sums are exact.
//!
//! The points lie in the order of Morton's curve, so a cell is a range of them, and the cells lie in the order in which a
//! walk comes through. Each knows where the walk goes on when it is skipped, so that there is neither stack nor pointer.

use super::Point;
use rayon::prelude::*;

/// Depth of the tree: how often the square may be halved.
const LEVELS: u32 = 24;
/// A cell with so many points or fewer is not divided.
const LEAF: usize = 8;

struct Cell {
    /// The centre of mass, and the number of points.
    centre: Point,
    mass: f64,
    /// The square of its side, ∞ for a leaf that must be looked into.
    side2: f64,
    /// Its points in the order of the tree.
    start: usize,
    end: usize,
    is_leaf: bool,
    /// The cell at which a walk goes on that does not enter this one.
    skip: usize,
}

/// What all points do to one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Push {
    pub force: Point,
    /// Σⱼ aⱼ
    pub sum: f64,
}

impl Push {
    /// Adds what so many points at a distance do.
    fn add(&mut self, [dx, dy]: Point, mass: f64) {
        let a = 1.0 / (1.0 + dx * dx + dy * dy);
        self.sum += mass * a;
        self.force[0] += mass * a * a * dx;
        self.force[1] += mass * a * a * dy;
    }
}

pub(super) struct Quadtree {
    /// The points in the order of the curve, and the place of each in the caller's list.
    points: Vec<Point>,
    order: Vec<usize>,
    cells: Vec<Cell>,
}

impl Quadtree {
    /// Puts finite points into cells.
    pub fn new(y: &[Point]) -> Self {
        let (corner, side) = square(y);
        let scale = f64::from(1u32 << LEVELS) / side;
        let whole = |from: f64, x: f64| (((x - from) * scale) as u64).min((1 << LEVELS) - 1);
        let code = |point: &Point| spread(whole(corner[0], point[0])) | spread(whole(corner[1], point[1])) << 1;
        let mut coded: Vec<(u64, usize)> = y.iter().enumerate().map(|(i, point)| (code(point), i)).collect();
        coded.par_sort_unstable();
        let order: Vec<usize> = coded.iter().map(|&(_, i)| i).collect();
        let mut tree = Quadtree { points: order.iter().map(|&i| y[i]).collect(), order, cells: vec![] };
        let codes: Vec<u64> = coded.into_iter().map(|(code, _)| code).collect();
        tree.divide(&codes, 0, LEVELS, side);
        tree
    }

    /// Makes the cell of points that follow each other from `start` on, and those within it.
    fn divide(&mut self, codes: &[u64], start: usize, level: u32, side: f64) {
        let (end, own) = (start + codes.len(), self.cells.len());
        let sum = |axis: usize| self.points[start..end].iter().map(|point| point[axis]).sum::<f64>();
        let mass = codes.len() as f64;
        let centre = [sum(0) / mass, sum(1) / mass];
        let is_leaf = codes.len() <= LEAF || level == 0;
        self.cells.push(Cell { centre, mass, side2: side * side, start, end, is_leaf, skip: 0 });
        if !is_leaf {
            let shift = 2 * (level - 1);
            let mut rest = codes;
            let mut at = start;
            while let Some(first) = rest.first() {
                let (inside, behind) = rest.split_at(rest.partition_point(|code| code >> shift <= first >> shift));
                self.divide(inside, at, level - 1, side / 2.0);
                at += inside.len();
                rest = behind;
            }
        }
        self.cells[own].skip = self.cells.len();
    }

    /// Returns the push of all other points on each. θ is below 1/√2, so that no cell stands for a point within it.
    pub fn pushes(&self, theta: f64) -> Vec<Push> {
        let mut of_curve = vec![Push::default(); self.points.len()];
        of_curve.par_iter_mut().zip(&self.points).with_min_len(64).for_each(|(push, y)| *push = self.push(*y, theta));
        let mut pushes = vec![Push::default(); self.points.len()];
        self.order.iter().zip(of_curve).for_each(|(&i, push)| pushes[i] = push);
        pushes
    }

    fn push(&self, y: Point, theta: f64) -> Push {
        let from = |other: Point| [y[0] - other[0], y[1] - other[1]];
        let theta2 = theta * theta;
        // The point itself is among those of its leaf: there its force is 0, and its share of the sum is 1.
        let mut push = Push { force: [0.0; 2], sum: -1.0 };
        let mut next = 0;
        while let Some(cell) = self.cells.get(next) {
            let way = from(cell.centre);
            if cell.side2 <= theta2 * (way[0] * way[0] + way[1] * way[1]) {
                push.add(way, cell.mass);
            } else if cell.is_leaf {
                self.points[cell.start..cell.end].iter().for_each(|&point| push.add(from(point), 1.0));
            } else {
                next += 1;
                continue;
            }
            next = cell.skip;
        }
        push
    }
}

/// Returns the lower left corner and the side of a square around points.
fn square(y: &[Point]) -> (Point, f64) {
    let least = |axis: usize| y.iter().map(|point| point[axis]).fold(f64::INFINITY, f64::min);
    let most = |axis: usize| y.iter().map(|point| point[axis]).fold(f64::NEG_INFINITY, f64::max);
    let side = (most(0) - least(0)).max(most(1) - least(1));
    ([least(0), least(1)], if side > 0.0 { side } else { 1.0 })
}

/// Puts a zero between neighbouring bits of a number of 32.
fn spread(x: u64) -> u64 {
    let x = (x | x << 16) & 0x0000_ffff_0000_ffff;
    let x = (x | x << 8) & 0x00ff_00ff_00ff_00ff;
    let x = (x | x << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    let x = (x | x << 2) & 0x3333_3333_3333_3333;
    (x | x << 1) & 0x5555_5555_5555_5555
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::normals;

    fn points(n: usize, seed: u64) -> Vec<Point> {
        // Two clouds far from each other, a point outside, and three at one place.
        let place = |(i, row): (usize, [f64; 2])| match i {
            0 => [300.0, -40.0],
            1..4 => [7.0, 7.0],
            _ => [row[0] * 3.0 + 50.0 * (i % 2) as f64, row[1]],
        };
        let draws = normals((n, 2), seed).mapv(f64::from);
        draws.rows().into_iter().map(|row| [row[0], row[1]]).enumerate().map(place).collect()
    }

    fn naive(y: &[Point], i: usize) -> Push {
        let mut push = Push::default();
        for (j, other) in y.iter().enumerate().filter(|(j, _)| *j != i) {
            assert_ne!(i, j);
            push.add([y[i][0] - other[0], y[i][1] - other[1]], 1.0);
        }
        push
    }

    #[test]
    fn with_theta_0_the_sums_are_exact() {
        for n in [1, 2, 9, 700] {
            let y = points(n, 1);
            for (i, push) in Quadtree::new(&y).pushes(0.0).into_iter().enumerate() {
                let expected = naive(&y, i);
                let off = (push.sum - expected.sum).abs();
                assert!(off < 1e-11 * (1.0 + expected.sum), "{n}: sum {} of {}", push.sum, expected.sum);
                for (force, expected) in push.force.iter().zip(expected.force) {
                    assert!((force - expected).abs() < 1e-11 * (1.0 + expected.abs()), "{n}: {force} {expected}");
                }
            }
        }
    }

    #[test]
    fn far_cells_stand_for_their_points() {
        let y = points(3000, 2);
        let tree = Quadtree::new(&y);
        let (mut error, mut length, mut sums) = (0.0, 0.0, [0.0; 2]);
        for (i, push) in tree.pushes(0.5).into_iter().enumerate() {
            let expected = naive(&y, i);
            error += (0..2).map(|axis| (push.force[axis] - expected.force[axis]).powi(2)).sum::<f64>();
            length += (0..2).map(|axis| expected.force[axis].powi(2)).sum::<f64>();
            sums = [sums[0] + push.sum, sums[1] + expected.sum];
        }
        assert!((error / length).sqrt() < 0.02, "{}", (error / length).sqrt());
        assert!((sums[0] / sums[1] - 1.0).abs() < 0.01, "{sums:?}");
    }
}
