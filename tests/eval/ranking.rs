//! Tests of ranks, zero-shot classification and retrieval against their definitions.

use crate::support::random::unit_rows;
use clipwright::eval::rank::{Rank, ranks, recall, scan};
use clipwright::eval::retrieval::{GroundTruth, chance, identify, retrieval};
use clipwright::eval::zero_shot::{TopK, class_embeddings, zero_shot};
use ndarray::{Array2, Axis, array};

fn close(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-9, "{a} is not {b}");
}

/// Returns the share of all orders of the tied candidates that have a positive among the first k, by enumeration.
fn hit_by_enumeration(rank: Rank, k: usize) -> f64 {
    let free = k.saturating_sub(rank.above).min(rank.tied);
    let subsets: Vec<u32> = (0..1u32 << rank.tied).filter(|s| s.count_ones() as usize == free).collect();
    let hits = subsets.iter().filter(|&&s| s & ((1 << rank.positives) - 1) != 0).count();
    hits as f64 / subsets.len() as f64
}

#[test]
fn a_tie_is_worth_its_expectation() {
    for above in 0..3 {
        for tied in 1..6 {
            for positives in 1..=tied {
                for k in 0..9 {
                    let rank = Rank { above, tied, positives };
                    close(rank.hit(k), hit_by_enumeration(rank, k));
                }
            }
        }
    }
    assert_eq!(Rank::of(&[0.5, 0.9, 0.5, 0.1, 0.5], &[2]), Rank { above: 1, tied: 3, positives: 1 });
    assert_eq!(Rank::of(&[0.5, 0.9, 0.5, 0.1, 0.5], &[3, 2, 0]), Rank { above: 1, tied: 3, positives: 2 });
}

#[test]
fn nan_is_never_a_hit() {
    let nan = f32::NAN;
    close(Rank::of(&[nan, nan, nan], &[1]).hit(3), 0.0);
    close(Rank::of(&[nan, 0.1, nan], &[0]).hit(3), 0.0);
    close(Rank::of(&[nan, 0.1, nan], &[1]).hit(1), 1.0);
    close(Rank::of(&[nan, 0.1, nan], &[0, 1]).hit(1), 1.0);

    let mut images = unit_rows((6, 5), 1);
    let classes = unit_rows((6, 5), 2);
    let truth = [0, 1, 2, 3, 4, 5];
    images.row_mut(2).fill(nan);
    let others: Vec<usize> = vec![0, 1, 3, 4, 5];
    let rest = zero_shot(images.select(Axis(0), &others).view(), classes.view(), &others);
    close(zero_shot(images.view(), classes.view(), &truth).top5, rest.top5 * 5.0 / 6.0);
}

#[test]
fn a_constant_model_scores_exactly_chance() {
    let classes = 371;
    let images = unit_rows((1, 24), 3).broadcast((50, 24)).unwrap().to_owned();
    let names = unit_rows((1, 24), 4).broadcast((classes, 24)).unwrap().to_owned();
    let truth: Vec<usize> = (0..50).map(|n| n * 7).collect();
    let score = zero_shot(images.view(), names.view(), &truth);
    close(score.top1, 1.0 / classes as f64);
    close(score.top5, 5.0 / classes as f64);
    assert_eq!(score, TopK::chance(classes));
    assert_eq!(TopK::chance(3).top5, 1.0);

    let concept: Vec<usize> = (0..50).map(|n| n / 2).collect();
    let identity: Vec<usize> = (0..50).collect();
    let text_concept: Vec<usize> = (0..classes).map(|t| t % 30).collect();
    let pairs = GroundTruth { image_concept: &concept, image_identity: &identity, text_concept: &text_concept };
    assert_eq!(retrieval(images.view(), names.view(), &pairs), chance(&pairs));
}

#[test]
fn blocks_of_rows_equal_the_whole() {
    // Small integers: every sum is exact in any order, and ties are frequent.
    let integers = |rows, seed| unit_rows((rows, 8), seed).mapv(|v| (4.0 * v).round());
    // 3,000 candidates: a block has 349 rows, so that 800 queries take three, the last one shorter.
    let (queries, candidates) = (integers(800, 5), integers(3000, 6));
    let positives: Vec<Vec<usize>> = (0..800).map(|n| vec![n, (n * 31 + 7) % 3000]).collect();
    let scores = queries.dot(&candidates.t());
    for (n, rank) in ranks(queries.view(), candidates.view(), &positives).into_iter().enumerate() {
        assert_eq!(rank, Rank::of(&scores.row(n).to_vec(), &positives[n]), "query {n}");
    }
    // A transposed view is not contiguous; the order of the queries is kept.
    let turned = queries.t().as_standard_layout().into_owned();
    let first = scan(turned.t(), candidates.view(), |n, scores| (n, scores[0]));
    assert!(first.iter().enumerate().all(|(n, &f)| f == (n, scores[[n, 0]])));
}

#[test]
fn nothing_to_rank() {
    assert!(scan(unit_rows((0, 4), 1).view(), unit_rows((3, 4), 2).view(), |n, _| n).is_empty());
    let none: [Vec<usize>; 2] = [vec![], vec![]];
    assert_eq!(recall(&ranks(unit_rows((2, 4), 1).view(), Array2::zeros((0, 4)).view(), &none), 1), 0.0);
}

#[test]
fn class_embeddings_are_normalised_means() {
    let prompts = array![[3.0, 0.0], [0.0, 1.0], [0.0, -2.0]];
    let classes = class_embeddings(prompts.view(), &[0, 0, 1], 3);
    let half = 0.5f32.sqrt();
    assert!((classes[[0, 0]] - half).abs() < 1e-6 && (classes[[0, 1]] - half).abs() < 1e-6);
    assert_eq!(classes.row(1).to_vec(), [0.0, -1.0]);
    assert!(classes.row(2).iter().all(|v| v.is_nan()));
}

#[test]
fn several_positives_and_the_best_counts() {
    // Pictures 0 and 1 show concept 7; captions 0 and 2 speak of it. Nobody drew concept 9.
    let images = array![[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    let texts = array![[0.6, 0.0, 0.8], [0.0, 0.6, 0.8], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]];
    let pairs = GroundTruth { image_concept: &[7, 7, 8], image_identity: &[0, 1, 2], text_concept: &[7, 8, 7, 9] };
    let score = retrieval(images.view(), texts.view(), &pairs);
    // Picture 0 finds caption 3 (of concept 9) first; picture 1 finds caption 2; picture 2 ties captions 0 and 1.
    close(score.image_to_text.at1, (0.0 + 1.0 + 0.5) / 3.0);
    close(score.image_to_text.at5, 1.0);
    // Caption 0 prefers picture 2, caption 1 rightly so, caption 2 finds picture 1; caption 3 is not asked.
    close(score.text_to_image.at1, 2.0 / 3.0);
    close(score.text_to_image.at5, 1.0);
}

#[test]
fn equal_pictures_count_as_one() {
    // Concepts 0 and 1 share one picture; concept 2 has its own.
    let images = array![[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]];
    let texts = array![[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]];
    let pairs = GroundTruth { image_concept: &[0, 1, 2], image_identity: &[4, 4, 9], text_concept: &[0, 1, 2] };
    let score = retrieval(images.view(), texts.view(), &pairs);
    close(score.image_to_text.at1, 1.0);
    close(score.text_to_image.at1, 1.0);
    // Two distinct pictures: guessing is right half the time; the shared one has two captions of three.
    close(chance(&pairs).text_to_image.at1, 0.5);
    close(chance(&pairs).image_to_text.at1, (2.0 / 3.0 + 1.0 / 3.0) / 2.0);
    assert_eq!(identify(["b", "a", "b", "c"]), [0, 1, 0, 2]);
}
