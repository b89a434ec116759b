//! Tests of what the documentation promises about the embedded emoji.

use clipwright::datasets::emoji::{Cut, Emoji, EmojiTraining, Language, Side, Split, TILE, Vendor};
use clipwright::datasets::{Dataset, Example};
use clipwright::pictures::Picture;
use clipwright::random::rng;
use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

static EMOJI: LazyLock<Arc<Emoji>> = LazyLock::new(|| Arc::new(Emoji::load()));

#[test]
fn has_1923_concepts_with_names_of_their_own() {
    let held_out = EMOJI.concepts().iter().filter(|concept| concept.split == Split::HeldOut).count();
    assert_eq!((EMOJI.concepts().len(), held_out), (1923, 371));
    assert_eq!(EMOJI.names().collect::<HashSet<_>>().len(), 1923);
    assert_eq!(EMOJI.concepts().iter().filter(|concept| concept.is_flag()).count(), 270);
}

#[test]
fn has_the_pictures_of_eight_vendors() {
    let count = |vendor| EMOJI.tiles(|v, _| v == vendor).len();
    assert_eq!(Vendor::ALL.map(count), [1911, 1852, 1594, 1594, 1362, 1237, 652, 1911]);
}

#[test]
fn exams_keep_training_and_held_out_apart() {
    let cell = |concepts, vendors| EMOJI.exam(Cut::Whole, concepts, vendors).len();
    assert_eq!(cell(Side::Trained, Side::Trained), 8240);
    assert_eq!(cell(Side::Trained, Side::HeldOut), 1542);
    assert_eq!(cell(Side::HeldOut, Side::HeldOut), 369);
    assert_eq!(cell(Side::HeldOut, Side::Trained), 10202 - 8240);
}

#[test]
fn a_validation_cut_touches_neither_twemoji_nor_held_out_concepts() {
    let cut = Cut::Validation { vendor: Vendor::Noto, seed: 1 };
    let sides = [Side::Trained, Side::HeldOut];
    for (concepts, vendors) in sides.into_iter().flat_map(|c| sides.map(|v| (c, v))) {
        let tiles = EMOJI.exam(cut, concepts, vendors);
        assert!(tiles.iter().all(|tile| tile.vendor != Vendor::Twemoji));
        assert!(tiles.iter().all(|tile| (tile.vendor == Vendor::Noto) == (vendors == Side::HeldOut)));
        assert!(tiles.iter().all(|tile| EMOJI.concepts()[tile.concept].split == Split::Train));
    }
    let training = EmojiTraining::new(Arc::clone(&EMOJI), cut, &[]);
    let trained: HashSet<_> = training.tiles().iter().map(|tile| tile.concept).collect();
    let judged = EMOJI.exam(cut, Side::HeldOut, Side::HeldOut);
    assert!((120..190).contains(&judged.len()), "{}", judged.len());
    assert!(judged.iter().all(|tile| !trained.contains(&tile.concept)));
}

#[test]
fn a_lesson_has_eight_drawings_of_each_concept() {
    let cell = |concepts, vendors| EMOJI.exam(Cut::Lesson, concepts, vendors);
    let concepts: HashSet<usize> = cell(Side::Trained, Side::HeldOut).iter().map(|tile| tile.concept).collect();
    assert_eq!((concepts.len(), cell(Side::Trained, Side::Trained).len()), (64, 7 * 64));
    assert!(cell(Side::HeldOut, Side::Trained).is_empty() && cell(Side::HeldOut, Side::HeldOut).is_empty());
    assert!(concepts.iter().all(|&concept| EMOJI.concepts()[concept].split == Split::Train));
}

#[test]
fn a_far_vendor_is_judged_without_its_kin() {
    assert!(!EMOJI.exam(Cut::FAR, Side::Trained, Side::HeldOut).is_empty());
    for tile in EMOJI.exam(Cut::FAR, Side::Trained, Side::HeldOut) {
        assert_eq!(tile.vendor, Vendor::FluentHighContrast);
    }
    let trained: HashSet<_> = EMOJI.exam(Cut::FAR, Side::Trained, Side::Trained).iter().map(|t| t.vendor).collect();
    let others = [Vendor::Noto, Vendor::EmojiTwo, Vendor::Blob, Vendor::FxEmoji];
    assert_eq!(trained, HashSet::from(others));
}

#[test]
fn tiles_are_drawings_on_white() {
    let mut picture = Picture::default();
    for vendor in Vendor::ALL {
        let grinning = EMOJI.tiles(|v, concept| v == vendor && concept.label == "grapes");
        if let [tile] = grinning[..] {
            EMOJI.paint(tile, &mut picture);
            assert_eq!((picture.width, picture.height), (TILE, TILE));
            assert!(picture.samples[..3].iter().all(|&v| v > 250), "{vendor:?} has a white corner");
            assert!(picture.samples.iter().any(|&v| v < 200), "{vendor:?} has something on it");
        }
    }
}

#[test]
fn flips_only_where_meaning_survives() {
    let may_flip = |label: &str| EMOJI.concepts().iter().find(|c| c.label == label).unwrap().may_flip;
    for label in ["grinning face", "grapes", "dog", "rocket", "woman dancing", "hammer"] {
        assert!(may_flip(label), "{label}");
    }
    for label in [
        "flag: Italy",
        "right arrow",
        "A button (blood type)",
        "three o’clock",
        "backhand index pointing left",
        "waxing crescent moon",
        "man walking: facing right",
        "rightwards pushing hand",
        "left-facing fist",
        "Aries",
        "magnifying glass tilted left",
        "chart increasing",
        "keycap: 1",
        "hundred points",
    ] {
        assert!(!may_flip(label), "{label}");
    }
}

#[test]
fn captions_vary_between_name_and_keywords() {
    let training = EmojiTraining::new(Arc::clone(&EMOJI), Cut::Whole, &[Language::English]);
    let index = training.tiles().iter().position(|tile| EMOJI.concepts()[tile.concept].label == "grapes").unwrap();
    let mut example = Example::default();
    let mut draw = |i| {
        training.read(index, &mut rng(&[i]), &mut example).unwrap();
        example.caption.clone()
    };
    let captions: Vec<String> = (0..2000).map(&mut draw).collect();
    let count = |wanted: &str| captions.iter().filter(|caption| *caption == wanted).count();
    let keywords = captions.iter().filter(|caption| !caption.contains("grapes")).count();
    assert!((600..800).contains(&count("grapes")), "{}", count("grapes"));
    assert!((700..900).contains(&keywords), "{keywords}");
    assert!(count("grapes, food fruit") > 100 && count("an emoji of grapes") > 20);
    assert!(captions.iter().any(|caption| caption.contains(", ") && !caption.starts_with("grapes, food")));
    assert_eq!(captions[..50], (0..50).map(draw).collect::<Vec<_>>());
}

#[test]
fn other_languages_are_a_choice() {
    let training = EmojiTraining::new(Arc::clone(&EMOJI), Cut::Whole, &[Language::German, Language::Japanese]);
    let mut example = Example::default();
    let captions: HashSet<String> = (0..200)
        .map(|i| {
            training.read(0, &mut rng(&[i]), &mut example).unwrap();
            example.caption.clone()
        })
        .collect();
    assert!(captions.contains("grinsendes Gesicht") && captions.contains("にっこり笑う"));
    assert!(!captions.contains("grinning face"));
    assert!(Language::ALL.iter().all(|language| Language::from_code(language.code()) == Some(*language)));
}
