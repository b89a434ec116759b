//! What a scene shows and where.

use super::ground::Ground;
use super::nouns::Noun;
use crate::datasets::emoji::Tile;
use crate::digest::digest;
use crate::random::Rng;
use rand::RngExt;
use rand::seq::{IndexedRandom, IteratorRandom};
use serde::Serialize;

/// How many drawings the groups of a scene have, one to three together, and how often, in twentieths.
const DRAWINGS: [(&[usize], u32); 7] =
    [(&[1], 4), (&[2], 2), (&[1, 1], 6), (&[3], 2), (&[1, 2], 2), (&[2, 1], 2), (&[1, 1, 1], 2)];
/// Smallest and largest side of a drawing as a share of its cell's shorter side.
const SHARE: std::ops::Range<f32> = 0.6..0.95;
/// Length of the part of a cell that a drawing may stand in, in shorter sides.
const REACH: f32 = 1.4;

/// How the groups stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arrangement {
    /// There is one group.
    Alone,
    /// The groups stand side by side, from left to right.
    Row,
    /// The groups stand one above the other, from top to bottom.
    Column,
}

/// The place of a group among the groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    Left,
    Right,
    Top,
    Bottom,
    Middle,
}

/// The square that a drawing covers, in shares of the picture's side.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Square {
    pub x: f32,
    pub y: f32,
    pub side: f32,
}

impl Square {
    /// Returns left edge, top edge and side in pixels of a picture of `size` pixels. Squares that do not overlap do not
    /// overlap in pixels either.
    pub fn pixels(self, size: usize) -> [usize; 3] {
        [self.x, self.y, self.side].map(|share| (share * size as f32) as usize)
    }
}

/// Drawings of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Position in the division's nouns.
    pub(super) noun: usize,
    /// The drawing, which all members share.
    pub tile: Tile,
    pub squares: Vec<Square>,
}

impl Group {
    /// Returns 0 for one drawing and 1 for more: the position of the form of a word.
    pub(super) fn number(&self) -> usize {
        usize::from(self.squares.len() > 1)
    }
}

/// A scene without its words.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    pub ground: Ground,
    pub arrangement: Arrangement,
    /// The groups from left to right or from top to bottom.
    pub groups: Vec<Group>,
}

impl Scene {
    /// Draws a scene of these nouns.
    pub(super) fn draw(nouns: &[Noun], rng: &mut Rng) -> Self {
        let (drawings, _) = DRAWINGS.choose_weighted(rng, |(_, weight)| *weight).expect("weights above 0");
        let groups = drawings.len();
        let arrangement = match (groups, rng.random_bool(0.5)) {
            (1, _) => Arrangement::Alone,
            (_, true) => Arrangement::Row,
            (_, false) => Arrangement::Column,
        };
        let chosen = choose(nouns, groups, rng);
        let mut grounds = Ground::ALL.to_vec();
        let group = |(i, noun): (usize, usize)| {
            let (tile, fitting) = nouns[noun].tiles.choose(rng).expect("every noun has drawings");
            grounds.retain(|ground| fitting.contains(ground));
            let across = match arrangement {
                Arrangement::Alone => rng.random_bool(0.5),
                Arrangement::Row => false,
                Arrangement::Column => true,
            };
            let strip = Cell::WHOLE.part(i, groups, arrangement == Arrangement::Row);
            let squares = (0..drawings[i]).map(|k| strip.part(k, drawings[i], across).place(rng)).collect();
            Group { noun, tile: *tile, squares }
        };
        let groups = chosen.into_iter().enumerate().map(group).collect();
        let ground = *grounds.choose(rng).expect("a drawing avoids few grounds");
        Scene { ground, arrangement, groups }
    }

    /// Returns the place of a group among the others, or `None` if there are no others.
    pub fn place(&self, group: usize) -> Option<Place> {
        let (row, last) = (self.arrangement == Arrangement::Row, self.groups.len() - 1);
        match group {
            _ if last == 0 => None,
            0 => Some(if row { Place::Left } else { Place::Top }),
            _ if group == last => Some(if row { Place::Right } else { Place::Bottom }),
            _ => Some(Place::Middle),
        }
    }

    /// Returns a key of kinds and counts. Scenes that differ in place or ground alone share it, since a caption need say
    /// neither.
    pub(super) fn key(&self) -> u64 {
        let kind = |group: &Group| [group.noun as u64, group.squares.len() as u64].map(u64::to_le_bytes);
        let mut kinds: Vec<_> = self.groups.iter().map(kind).collect();
        kinds.sort_unstable();
        digest(kinds.iter().map(|kind| kind.as_flattened())).key()
    }
}

/// Chooses different nouns that go with each other. Half of the time, a coloured thing is followed by the same thing in
/// another colour: only its place or number tells the two apart then.
fn choose(nouns: &[Noun], count: usize, rng: &mut Rng) -> Vec<usize> {
    let mut chosen: Vec<usize> = vec![];
    while chosen.len() < count {
        let fits = |&i: &usize| chosen.iter().all(|&other| i != other && nouns[i].goes_with(&nouns[other]));
        let fitting: Vec<usize> = (0..nouns.len()).filter(fits).collect();
        let last = chosen.last().map(|&last| &nouns[last]);
        let coloured = last.filter(|last| last.colour().is_some() && rng.random_bool(0.5));
        let recoloured =
            coloured.and_then(|last| fitting.iter().filter(|&&i| nouns[i].is_recoloured(last)).choose(rng));
        let next = recoloured.or_else(|| fitting.choose_weighted(rng, |&i| nouns[i].frequency).ok());
        chosen.push(*next.expect("a division has many nouns"));
    }
    chosen
}

/// A rectangle that drawings are put into, in shares of the picture's side.
#[derive(Clone, Copy)]
struct Cell {
    start: [f32; 2],
    size: [f32; 2],
}

impl Cell {
    const WHOLE: Cell = Cell { start: [0.0; 2], size: [1.0; 2] };

    /// Returns one of `parts` equal parts, which lie side by side or else one above the other.
    fn part(mut self, i: usize, parts: usize, side_by_side: bool) -> Self {
        let axis = usize::from(!side_by_side);
        self.size[axis] /= parts as f32;
        self.start[axis] += i as f32 * self.size[axis];
        self
    }

    /// Draws a square in the middle part of the cell.
    fn place(self, rng: &mut Rng) -> Square {
        let shorter = self.size[0].min(self.size[1]);
        let side = shorter * rng.random_range(SHARE);
        let mut along = |axis: usize| {
            let reach = self.size[axis].min(REACH * shorter);
            self.start[axis] + (self.size[axis] - reach) / 2.0 + rng.random_range(0.0..1.0) * (reach - side)
        };
        Square { x: along(0), y: along(1), side }
    }
}
