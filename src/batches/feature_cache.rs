//! Features that are the same whenever an example is seen, because neither the tower nor the example changes.

use ndarray::{ArrayView1, ArrayViewMut1};
use std::collections::HashMap;
use std::sync::{RwLock, RwLockReadGuard};

/// The features of one tower by the keys of the examples. The trainer fills it, and the loader asks it which pictures
/// need not be read. Once a row is in, it stays.
#[derive(Debug)]
pub struct FeatureCache {
    rows: RwLock<HashMap<u64, Box<[f32]>>>,
    /// The largest number of rows; features of more examples are computed whenever they are needed.
    max_rows: usize,
    width: usize,
}

impl FeatureCache {
    /// Makes a cache for the features, of this width, of so many examples. It takes at most `max_bytes`, keys and the
    /// tables of memory aside.
    pub fn new(examples: usize, width: usize, max_bytes: u64) -> Self {
        let max_rows = (max_bytes / Self::row_bytes(width)).min(examples as u64) as usize;
        FeatureCache { rows: RwLock::default(), max_rows, width }
    }

    /// Returns the largest number of rows.
    pub fn max_rows(&self) -> usize {
        self.max_rows
    }

    /// Returns the number of bytes of so many rows.
    pub fn max_bytes(&self) -> u64 {
        self.max_rows as u64 * Self::row_bytes(self.width)
    }

    /// Returns whether the features of this example are known.
    pub fn contains(&self, key: u64) -> bool {
        self.lock().contains_key(&key)
    }

    /// Copies the features of an example, or returns false if they are not known.
    pub fn read(&self, key: u64, mut row: ArrayViewMut1<f32>) -> bool {
        let rows = self.lock();
        let known = rows.get(&key);
        known.inspect(|known| row.assign(&ArrayView1::from(&known[..]))).is_some()
    }

    /// Keeps the features of an example, if there is room.
    pub fn insert(&self, key: u64, row: ArrayView1<f32>) {
        assert_eq!(row.len(), self.width, "width of a row");
        let mut rows = self.rows.write().expect("no thread panics with the rows locked");
        if rows.len() < self.max_rows {
            rows.entry(key).or_insert_with(|| row.iter().copied().collect());
        }
    }

    fn lock(&self) -> RwLockReadGuard<'_, HashMap<u64, Box<[f32]>>> {
        self.rows.read().expect("no thread panics with the rows locked")
    }

    fn row_bytes(width: usize) -> u64 {
        (width.max(1) * size_of::<f32>()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array1, arr1};

    #[test]
    fn rows_stay_and_are_no_more_than_there_is_room_for() {
        let cache = FeatureCache::new(100, 2, 20);
        assert_eq!((cache.max_rows(), cache.max_bytes()), (2, 16));
        for (key, row) in [(7, [1.0, 2.0]), (9, [3.0, 4.0]), (7, [5.0, 6.0]), (8, [7.0, 8.0])] {
            cache.insert(key, arr1(&row).view());
        }
        let mut row = Array1::zeros(2);
        assert!(cache.contains(7) && cache.read(7, row.view_mut()));
        assert_eq!(row, arr1(&[1.0, 2.0]), "the first row stays");
        assert!(!cache.contains(8) && !cache.read(8, row.view_mut()), "no room");
        assert_eq!(FeatureCache::new(3, 2, 1 << 30).max_rows(), 3);
        assert_eq!(FeatureCache::new(3, 2, 0).max_rows(), 0);
    }
}
