//! The positives of a contrastive loss: which captions of a batch fit which pictures.

use kernels::sparse::Lists;
use std::ops::Range;

/// The positives of N pairs. A pair's positives are the pairs whose caption fits its picture: itself, those of the same
/// concept, and those with the same caption. The relation is symmetric, so one list serves both directions.
///
/// Plain CLIP takes every other caption of the batch for a negative. With few concepts and large batches that is often
/// wrong: two drawings of a cat, each captioned "cat", would be pushed apart.
///
/// Lists are kept for a range of the pairs only, the *own* ones. These are the rows that a loss is taken for, among the
/// columns of all pairs: the whole batch on one machine, a machine's part of it on many, or the batch in front of a
/// queue.
#[derive(Clone, Debug, Default)]
pub struct Positives {
    /// The first own pair.
    first: usize,
    /// The pairs that fit the k-th own pair are `indices[offsets[k]..offsets[k + 1]]`, ascending.
    offsets: Vec<usize>,
    indices: Vec<u32>,
    /// How many pairs fit each of the N pairs.
    counts: Vec<u32>,
    by_concept: Groups,
    by_caption: Groups,
}

impl Positives {
    /// Returns the positives of plain CLIP, where each of N pairs fits only itself.
    pub fn diagonal(n: usize) -> Self {
        Self::diagonal_of(0..n, n)
    }

    /// Returns the positives of plain CLIP, where each of N pairs fits only itself, with lists for the own pairs.
    pub fn diagonal_of(own: Range<usize>, n: usize) -> Self {
        let keys: Vec<u64> = (0..n as u64).collect();
        let mut positives = Positives::default();
        positives.fill_for(own, &keys, &keys);
        positives
    }

    /// Compares each pair's key for its concept and its key for its caption; all pairs are own. Buffers are reused.
    #[track_caller]
    pub fn fill(&mut self, concepts: &[u64], captions: &[u64]) {
        self.fill_for(0..concepts.len(), concepts, captions);
    }

    /// Compares each pair's key for its concept and its key for its caption, and keeps lists for the own pairs. Buffers
    /// are reused.
    #[track_caller]
    pub fn fill_for(&mut self, own: Range<usize>, concepts: &[u64], captions: &[u64]) {
        assert_eq!(concepts.len(), captions.len(), "concept keys and caption keys");
        assert!(own.start <= own.end && own.end <= concepts.len(), "own pairs {own:?} of {}", concepts.len());
        self.by_concept.fill(concepts);
        self.by_caption.fill(captions);
        self.first = own.start;
        self.indices.clear();
        self.counts.clear();
        self.offsets.clear();
        self.offsets.push(0);
        for i in 0..concepts.len() {
            let start = self.indices.len();
            merge(self.by_concept.of(i), self.by_caption.of(i), &mut self.indices);
            self.counts.push((self.indices.len() - start) as u32);
            match own.contains(&i) {
                true => self.offsets.push(self.indices.len()),
                false => self.indices.truncate(start),
            }
        }
    }

    /// Returns the number of own pairs.
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Whether there are no own pairs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the range of the own pairs.
    pub fn own(&self) -> Range<usize> {
        self.first..self.first + self.len()
    }

    /// Returns the number N of all pairs.
    pub fn columns(&self) -> usize {
        self.counts.len()
    }

    /// Lists the pairs that fit the k-th own pair, ascending, itself among them.
    pub fn of(&self, k: usize) -> &[u32] {
        &self.indices[self.offsets[k]..self.offsets[k + 1]]
    }

    /// Lists those of the pairs in `range` that fit the own pair i, ascending. Unlike k, i counts all pairs.
    pub(super) fn within(&self, i: usize, range: &Range<usize>) -> &[u32] {
        let fitting = self.of(i - self.first);
        let [start, end] = [range.start, range.end].map(|end| fitting.partition_point(|&j| (j as usize) < end));
        &fitting[start..end]
    }

    /// Counts the pairs that fit pair j, be it own or not.
    pub fn count(&self, j: usize) -> usize {
        self.counts[j] as usize
    }

    /// Views the positives of all own pairs as entries of a sparse matrix.
    pub(super) fn lists(&self) -> Lists<'_> {
        Lists { offsets: &self.offsets, indices: &self.indices }
    }

    /// Counts the own pairs that have another pair as a positive.
    pub fn clashes(&self) -> usize {
        (0..self.len()).filter(|&k| self.of(k).len() > 1).count()
    }
}

/// Indices grouped by equal keys.
#[derive(Clone, Debug, Default)]
struct Groups {
    /// The indices sorted by key, then by index, so that a group is a run of them.
    order: Vec<u32>,
    /// Where in `order` the group of each index starts and ends.
    ranges: Vec<(u32, u32)>,
}

impl Groups {
    /// Groups the indices of `keys` by their keys.
    fn fill(&mut self, keys: &[u64]) {
        self.order.clear();
        self.order.extend(0..keys.len() as u32);
        self.order.sort_unstable_by_key(|&i| (keys[i as usize], i));
        self.ranges.clear();
        self.ranges.resize(keys.len(), (0, 0));
        let mut start = 0;
        for group in self.order.chunk_by(|&a, &b| keys[a as usize] == keys[b as usize]) {
            let end = start + group.len() as u32;
            group.iter().for_each(|&i| self.ranges[i as usize] = (start, end));
            start = end;
        }
    }

    /// Lists the indices in the group of index i, ascending.
    fn of(&self, i: usize) -> &[u32] {
        let (start, end) = self.ranges[i];
        &self.order[start as usize..end as usize]
    }
}

/// Appends the union of two ascending lists.
fn merge(mut a: &[u32], mut b: &[u32], out: &mut Vec<u32>) {
    while let (Some(&x), Some(&y)) = (a.first(), b.first()) {
        out.push(x.min(y));
        a = &a[usize::from(x <= y)..];
        b = &b[usize::from(y <= x)..];
    }
    out.extend_from_slice(a);
    out.extend_from_slice(b);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_concept_or_the_same_caption_fits() {
        let mut positives = Positives::default();
        positives.fill(&[7, 8, 7, 9, 1], &[1, 2, 3, 2, 5]);
        let lists: Vec<&[u32]> = (0..5).map(|i| positives.of(i)).collect();
        assert_eq!(lists, [&[0, 2][..], &[1, 3], &[0, 2], &[1, 3], &[4]]);
        assert_eq!(positives.clashes(), 4);
        // It is no equivalence: 0 and 1 share a caption, 1 and 2 a concept, 0 and 2 nothing.
        positives.fill(&[1, 2, 2], &[5, 5, 6]);
        assert_eq!(positives.of(0), [0, 1]);
        assert_eq!(positives.of(1), [0, 1, 2]);
        assert_eq!(positives.of(2), [1, 2]);
    }

    #[test]
    fn a_part_has_the_lists_and_counts_of_the_whole() {
        let (concepts, captions) = ([7, 8, 7, 9, 1], [1, 2, 3, 2, 7]);
        let (mut whole, mut part) = (Positives::default(), Positives::default());
        whole.fill(&concepts, &captions);
        part.fill_for(1..4, &concepts, &captions);
        assert_eq!((part.own(), part.len(), part.columns()), (1..4, 3, 5));
        assert!((0..3).all(|k| part.of(k) == whole.of(k + 1)));
        assert!((0..5).all(|j| part.count(j) == whole.count(j) && whole.count(j) == whole.of(j).len()));
        assert_eq!(Positives::diagonal_of(2..4, 6).of(1), [3]);
    }

    #[test]
    fn the_diagonal_is_plain_clip() {
        let positives = Positives::diagonal(3);
        assert_eq!((0..3).map(|i| positives.of(i).to_vec()).collect::<Vec<_>>(), [[0], [1], [2]]);
        assert_eq!(positives.clashes(), 0);
    }
}
