//! Large blocks of memory on large pages.

use std::ops::{Deref, DerefMut};
use std::{fmt, slice};

/// The size of the larger kind of page, in bytes, on x86-64 and on most of aarch64.
#[cfg(all(target_os = "linux", not(miri)))]
const PAGE: usize = 2 << 20;

/// The floats of a cache line, which is also the longest vector: one that begins elsewhere is read from two lines.
pub const LINE: usize = 16;

/// A block of floats, zero at first, that begins at a cache line and lies on large pages where the system grants them.
///
/// A page is cleared when it is first touched, and 512 small ones at once take a fraction of the time. Later the
/// processor has to look up fewer of them: a single picture reads each of a model's weights once.
///
/// A block may have room to grow, which takes no memory before it is used.
#[derive(Default)]
pub struct Floats {
    memory: Vec<f32>,
    start: usize,
    len: usize,
}

impl Floats {
    /// Makes a block of `len` zeros.
    pub fn zeros(len: usize) -> Self {
        Floats::with_room(len, 0)
    }

    /// Makes a block of `len` zeros with room for so many more.
    pub fn with_room(len: usize, room: usize) -> Self {
        let memory = vec![0.0; len + room + LINE - 1];
        #[cfg(all(target_os = "linux", not(miri)))]
        ask_for_large_pages(&memory);
        let start = memory.as_ptr().align_offset(size_of::<[f32; LINE]>());
        Floats { memory, start, len }
    }

    /// Adds zeros at the end, up to `len` floats in all. The block stays where it is if it has the room.
    pub fn grow(&mut self, len: usize) {
        if self.start + len > self.memory.len() {
            let mut grown = Floats::zeros(len);
            grown[..self.len].copy_from_slice(self);
            *self = grown;
        }
        self.len = self.len.max(len);
    }
}

impl Deref for Floats {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.memory[self.start..][..self.len]
    }
}

impl DerefMut for Floats {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.memory[self.start..][..self.len]
    }
}

impl<'a> IntoIterator for &'a Floats {
    type Item = &'a f32;
    type IntoIter = slice::Iter<'a, f32>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Clone for Floats {
    fn clone(&self) -> Self {
        let mut copy = Floats::zeros(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

impl PartialEq for Floats {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Floats {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// Asks the system to back the whole large pages within `block` by such pages.
#[cfg(all(target_os = "linux", not(miri)))]
fn ask_for_large_pages(block: &[f32]) {
    let first = block.as_ptr().cast::<u8>();
    let before = first.align_offset(PAGE);
    let whole = size_of_val(block).saturating_sub(before) / PAGE * PAGE;
    if whole > 0 {
        // SAFETY: the range is whole pages within `block`, and the advice leaves their contents as they are. A system
        // that knows no large pages refuses, and nothing has changed.
        unsafe { libc::madvise(first.wrapping_add(before).cast_mut().cast(), whole, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(test)]
mod tests {
    use super::Floats;

    #[test]
    fn blocks_grow_where_they_are_if_they_have_the_room() {
        for room in [0, 1, 40] {
            let mut floats = Floats::with_room(20, room);
            let place = floats.as_ptr();
            floats.fill(1.0);
            floats.grow(20 + room);
            assert_eq!(floats.as_ptr(), place, "{room}");
            floats.grow(100);
            assert_eq!(floats.as_ptr().addr() % 64, 0);
            assert!(floats[..20].iter().all(|&x| x == 1.0) && floats[20..] == [0.0; 80], "{room}");
        }
    }

    #[test]
    fn zeros_of_any_length_at_a_cache_line() {
        let lens = if cfg!(miri) { [0, 1, 15, 16, 100] } else { [0, 1, 1000, (2 << 20) - 1, 5 << 20] };
        for len in lens {
            let mut floats = Floats::zeros(len);
            assert!(floats.len() == len && floats.iter().all(|&x| x == 0.0), "{len}");
            assert_eq!(floats.as_ptr().addr() % 64, 0, "{len}");
            floats.fill(1.0);
            assert!(floats.iter().all(|&x| x == 1.0), "{len}");
        }
    }
}
