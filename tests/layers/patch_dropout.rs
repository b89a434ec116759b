//! The draws of patch dropout.

use clipwright::layers::patch_dropout::{PatchDropout, Patches, kept};
use std::collections::HashMap;

/// Returns what is kept of pictures at these places.
fn drawn(rate: f64, key: u64, patches: usize, places: &[u32]) -> Vec<Vec<u32>> {
    let mut drawn = Patches::default();
    drawn.draw(patches, places.len(), Some(PatchDropout { rate, key, places }));
    assert_eq!(drawn.of_each(), kept(rate, patches));
    drawn.kept().expect("some are dropped").chunks(drawn.of_each()).map(<[u32]>::to_vec).collect()
}

/// Python's `max(1, int(n * (1 - p)))`, which OpenCLIP computes.
#[test]
fn as_many_are_kept_as_in_openclip() {
    let expected = [
        (0.5, 49, 24),
        (0.75, 49, 12),
        (0.5, 196, 98),
        (0.1, 49, 44),
        (0.9, 100, 9),
        (0.9, 10, 1),
        (0.99, 49, 1),
        (0.0, 49, 49),
        (0.5, 1, 1),
    ];
    for (rate, patches, expected) in expected {
        assert_eq!(kept(rate, patches), expected, "{rate} of {patches}");
    }
}

#[test]
fn patches_are_drawn_without_replacement_and_in_order() {
    for (rate, patches) in [(0.5, 49), (0.75, 196), (0.01, 49), (0.99, 7)] {
        for kept in drawn(rate, 3, patches, &Vec::from_iter(0..200)) {
            assert!(kept.is_sorted_by(|a, b| a < b) && *kept.last().unwrap() < patches as u32, "{kept:?}");
        }
    }
}

/// Each of the 35 choices of 3 of 7 patches is expected 1000 times, with a standard deviation of √(1000·34/35) = 31.
#[test]
fn every_choice_is_equally_likely() {
    let mut seen: HashMap<Vec<u32>, u32> = HashMap::new();
    drawn(0.55, 11, 7, &Vec::from_iter(0..35_000)).into_iter().for_each(|kept| *seen.entry(kept).or_default() += 1);
    assert_eq!(seen.len(), 35);
    assert!(seen.values().all(|&n| (850..1150).contains(&n)), "{seen:?}");
}

#[test]
fn draws_depend_on_the_key_and_on_the_place_alone() {
    let places = Vec::from_iter(0..50);
    let whole = drawn(0.5, 5, 49, &places);
    for size in [1, 7, 50] {
        let parts: Vec<_> = places.chunks(size).flat_map(|places| drawn(0.5, 5, 49, places)).collect();
        assert_eq!(parts, whole, "{size} at a time");
    }
    assert_ne!(drawn(0.5, 6, 49, &places), whole);
    assert!((1..50).all(|i| whole[i] != whole[i - 1]));
}

/// A list that was filled before is empty where nothing is dropped.
#[test]
fn nothing_is_drawn_where_all_are_kept() {
    let mut drawn = Patches::default();
    let dropout = |rate| Some(PatchDropout { rate, key: 1, places: &[0, 1] });
    drawn.draw(9, 2, dropout(0.5));
    assert_eq!((drawn.of_each(), drawn.kept().map(<[u32]>::len)), (4, Some(8)));
    for (patches, dropout) in [(9, None), (9, dropout(0.0)), (1, dropout(0.5))] {
        drawn.draw(patches, 2, dropout);
        assert_eq!((drawn.of_each(), drawn.kept()), (patches, None));
    }
}

#[test]
#[should_panic(expected = "patch dropout: places of pictures")]
fn every_picture_has_a_place() {
    Patches::default().draw(9, 3, Some(PatchDropout { rate: 0.5, key: 1, places: &[0, 1] }));
}
