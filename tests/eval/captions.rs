//! Tests of the scores of captions and answers, against values derived by hand and against the programs with which
//! published results were computed.

use clipwright::eval::captions::{CaptionScores, Captioned, bleu::bleu, cider::cider_d, rouge::rouge_l, words::words};
use clipwright::eval::vqa;
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    words: Vec<Words>,
    scores: Vec<Scores>,
}

#[derive(Deserialize)]
struct Words {
    caption: String,
    words: Vec<String>,
}

#[derive(Deserialize)]
struct Scores {
    sets: Vec<Set>,
    bleu: [f64; 4],
    rouge_l: f64,
    cider: f64,
}

#[derive(Deserialize)]
struct Set {
    candidate: String,
    references: Vec<String>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../golden/words/captions.json")).unwrap()
}

/// Sums of a few terms in another order differ in their last digits.
#[track_caller]
fn near(own: f64, right: f64) {
    assert!((own - right).abs() <= 1e-12 * right.abs().max(1e-3), "{own} is not {right}");
}

fn captioned(candidate: &str, references: &[&str]) -> Captioned {
    Captioned::new(candidate, references)
}

#[test]
fn words_are_those_of_the_published_tokenizer() {
    let cases = golden().words;
    assert_eq!(cases.len(), 37);
    let wrong: Vec<String> = (cases.iter())
        .filter(|case| words(&case.caption) != case.words)
        .map(|case| format!("{:?}\n  is    {:?}\n  wants {:?}", case.caption, words(&case.caption), case.words))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn scores_are_those_of_pycocoevalcap() {
    let sets = golden().scores;
    assert_eq!(sets.len(), 6);
    for Scores { sets, bleu, rouge_l, cider } in sets {
        let captions: Vec<_> = sets.iter().map(|set| Captioned::new(&set.candidate, &set.references)).collect();
        let own = CaptionScores::of(&captions);
        own.bleu.iter().zip(bleu).for_each(|(&own, right)| near(own, right));
        near(own.rouge_l, rouge_l);
        near(own.cider, cider);
    }
    let nothing = CaptionScores::of(&[]);
    assert_eq!(nothing, CaptionScores { bleu: [0.0; 4], rouge_l: 0.0, cider: 0.0 });
}

/// The first is the example of Papineni et al. 2002, section 2.1. The constants against divisions by zero show at 1e-9.
#[test]
fn bleu_clips_matches_and_punishes_brevity() {
    let is = |own: f64, right: f64| assert!((own - right).abs() < 1e-7, "{own} is not {right}");
    let repeated =
        bleu(&[captioned("the the the the the the the", &["the cat is on the mat", "there is a cat on the mat"])]);
    is(repeated[0], 2.0 / 7.0);
    is(repeated[1], 0.0);
    let short = bleu(&[captioned("a dog", &["a dog runs fast"])]);
    is(short[0], (-1.0_f64).exp());
    is(short[1], (-1.0_f64).exp());
    // Of two lengths equally close the shorter counts, and the whole set has one penalty.
    is(bleu(&[captioned("red cat sits", &["red cat", "red cat sits down"])])[0], 1.0);
    let set = [captioned("red cat sits here now", &["red cat sits"]), captioned("dog", &["dog runs so"])];
    is(bleu(&set)[0], 4.0 / 6.0);
}

/// The first is the example of Lin 2004, section 3.1.
#[test]
fn rouge_takes_precision_and_recall_from_the_best_references() {
    near(rouge_l(&[captioned("police kill the gunman", &["police killed the gunman"])]), 0.75);
    let two = captioned("one red cat sits", &["one red", "one red cat by the door"]);
    near(rouge_l(std::slice::from_ref(&two)), 2.44 * 0.75 / (1.0 + 1.44 * 0.75));
    near(rouge_l(&[two, captioned("dog", &["cat"])]), 1.22 * 0.75 / (1.0 + 1.44 * 0.75));
    near(rouge_l(&[captioned("sits cat", &["cat sits"])]), 0.5);
}

#[test]
fn cider_weighs_ngrams_by_how_few_pictures_have_them() {
    let other = || captioned("green frog", &["green frog"]);
    let score = |candidate| 2.0 * cider_d(&[captioned(candidate, &["red cat"]), other()]) - 5.0;
    // Equal captions of two words have cosine 1 for n = 1 and 2, and no longer n-grams.
    near(score("red cat"), 5.0);
    near(score("green frog"), 0.0);
    near(score("cat"), 2.5 * 0.5_f64.sqrt() * (-1.0_f64 / 72.0).exp());
    near(score("red cat sits"), 2.5 * (2.0 / 6.0_f64.sqrt() + 0.5_f64.sqrt()) * (-1.0_f64 / 72.0).exp());
    // Repeating a word gains nothing: min(2, 1) · 1 / (2 √2).
    near(score("red red"), 2.5 / 8.0_f64.sqrt());
    // What all pictures have tells nothing, and a single picture has nothing else.
    near(cider_d(&[captioned("a", &["a cat"]), captioned("a", &["a frog"])]), 0.0);
    near(cider_d(&[other()]), 0.0);
}

#[test]
#[should_panic(expected = "the caption \"a cat\" has no reference")]
fn a_caption_without_a_reference_cannot_be_scored() {
    Captioned::new::<&str>("a cat", &[]);
}

#[derive(Deserialize)]
struct Answer {
    answer: String,
    people: Vec<String>,
    accuracy: f64,
    form: String,
}

#[test]
fn accuracies_are_those_of_the_published_evaluation() {
    let answers: Vec<Answer> = serde_json::from_str(include_str!("../golden/words/vqa.json")).unwrap();
    assert!(answers.len() > 200);
    for Answer { answer, people, accuracy, form } in answers {
        assert_eq!(vqa::normalize(&answer), form, "{answer:?}");
        assert!((vqa::accuracy(&answer, &people) - accuracy).abs() < 1e-12, "{answer:?} among {people:?}");
    }
}

#[test]
fn an_answer_is_right_if_three_others_gave_it() {
    for (yes, accuracy) in [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (9, 1.0)] {
        let people: Vec<&str> = (0..10).map(|person| if person < yes { "Yes." } else { "no" }).collect();
        near(vqa::accuracy("the yes", &people), accuracy);
    }
    assert_eq!(vqa::accuracy("yes", &["Yes"; 10]), 0.0, "what all agree on is taken to the letter");
    assert_eq!(vqa::normalize("The dog's  ball, at five p.m. - it isnt 3.5!"), "dog's ball at 5 pm it isn't 3.5");
}

proptest! {
    #[test]
    fn any_text_has_words_and_a_form(text in "\\PC{0,60}|.{0,60}|[a-zA-Z0-9 .,'’:;!?()#@$%&*/-]{0,60}") {
        let words = words(&text);
        prop_assert!(words.iter().all(|word| !word.is_empty() && !word.contains(char::is_whitespace)), "{:?}", words);
        prop_assert!(!vqa::normalize(&text).contains("  "));
    }
}
