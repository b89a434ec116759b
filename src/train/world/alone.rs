//! The world of one process by itself.

use super::{Element, World};
use std::time::Duration;

/// One process, which exchanges, copies and waits for nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl World for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn all_gather<'a, T: Element>(&self, own: &'a [T], _: &'a mut Vec<T>) -> &'a [T] {
        own
    }

    fn all_to_all<'a, T: Element>(&self, own: &'a [T], _: &'a mut Vec<T>) -> &'a [T] {
        own
    }

    fn broadcast<T: Element>(&self, _: &mut [T]) {}

    fn barrier(&self) {}

    fn waited(&self) -> Duration {
        Duration::ZERO
    }
}
