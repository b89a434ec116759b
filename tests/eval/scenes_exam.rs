//! The exam on scenes, with a tiny random BLIP, and with one that answers what is true.

use clipwright::Blip;
use clipwright::datasets::emoji::{Emoji, Language};
use clipwright::datasets::scenes::{Division, SceneOptions, Scenes};
use clipwright::eval::crew::{Crew, Single};
use clipwright::eval::exam::{Depth, Exam, ScenesExam};
use clipwright::models::blip::{Config, Model, Parts, TextConfig, TokenIds, VisionConfig};
use clipwright::pictures::Preprocess;
use clipwright::text::WordPiece;
use clipwright::text::wordpiece::reduced_vocabulary;
use clipwright::train::together::Ranks;
use clipwright::train::world::Threads;
use std::convert::Infallible;
use std::ops::Range;
use std::sync::Arc;

fn scenes() -> Arc<Scenes> {
    let (division, languages) = (Division::Train, vec![Language::English]);
    let options = SceneOptions { division, seed: 0, count: 64, image_size: 32, languages, caption_noise: 0.0 };
    Arc::new(Scenes::new(Arc::new(Emoji::load()), options))
}

/// Returns a tiny random model with the vocabulary of these scenes.
fn blip(scenes: &Scenes, parts: Parts) -> Blip {
    let vocabulary = reduced_vocabulary((0..64).map(|number| scenes.caption(number).text));
    let words = WordPiece::of_vocabulary(&vocabulary).unwrap();
    let ids = TokenIds { pad: 0, cls: words.cls(), end: words.sep(), decode: words.dec(), encode: words.enc() };
    let base = Config::base(parts);
    let vision = VisionConfig { image_size: [32, 32], width: 64, mlp_width: 64, heads: 1, layers: 1, ..base.vision };
    let vocab_size = words.vocabulary();
    let text =
        TextConfig { vocab_size, ids, positions: 32, width: 64, mlp_width: 64, heads: 1, layers: 1, ..base.text };
    let model = Model::new(Config { vision, text, embed_dim: 16, ..base }, 0);
    Blip::of_model("tiny".into(), model, Preprocess { size: 32, ..Preprocess::default() }, Arc::new(words))
}

#[test]
fn every_kind_of_blip_has_its_tables() {
    let scenes = scenes();
    let exam = Exam::Scenes(ScenesExam::new(Arc::clone(&scenes), true, Depth::Quick));
    let (report, bad) = exam.report_blip(&blip(&scenes, Parts::Pretrained), "", &Single).unwrap();
    let rows: Vec<(&str, &str, usize)> =
        report.rows.iter().map(|row| (row.concepts.as_str(), row.pictures.as_str(), row.images)).collect();
    let expected = [("seen", "noto, held out", 500), ("seen", "noto, held out, re-ranked", 500)];
    assert_eq!((rows, bad.bad), (expected.to_vec(), 0));
    let captions: Vec<(&str, usize)> = report.captions.iter().map(|row| (row.concepts.as_str(), row.images)).collect();
    assert_eq!((captions, report.answers.len()), (vec![("seen", 500)], 0));
    assert!(report.captions.iter().all(|row| row.score.exact == 0.0 && row.nearest.is_none()));

    let (report, _) = exam.report_blip(&blip(&scenes, Parts::Captioner), "", &Single).unwrap();
    assert_eq!((report.rows.len(), report.captions.len(), report.answers.len()), (0, 1, 0));

    let (report, _) = exam.report_blip(&blip(&scenes, Parts::Answerer), "", &Single).unwrap();
    assert_eq!((report.rows.len(), report.captions.len(), report.answers.len()), (0, 0, 1));
    let kinds: Vec<&str> = report.answers[0].kinds.iter().map(|kind| kind.kind.as_str()).collect();
    assert_eq!(kinds, ["what", "where", "count", "colour"]);
    assert!(report.answers.iter().flat_map(|row| &row.kinds).all(|kind| kind.questions > 100 && kind.accuracy < 0.5));
    let text = report.to_string();
    assert!(!text.contains("\ncommonest") && text.contains("model") && text.contains("colour"), "{text}");
    assert!(report.markdown().contains("| seen | noto, held out |"), "{}", report.markdown());
}

/// Two ranks share what is asked, and both get the table of one.
#[test]
fn ranks_sit_an_exam_together() {
    let scenes = scenes();
    let exam = Exam::Scenes(ScenesExam::new(Arc::clone(&scenes), true, Depth::Quick));
    for parts in [Parts::Pretrained, Parts::Answerer] {
        let blip = blip(&scenes, parts);
        let alone = exam.report_blip(&blip, "", &Single).unwrap().0.to_string();
        let ranks = Threads::run(2, |world| exam.report_blip(&blip, "", &Ranks(&world)).unwrap().0.to_string());
        assert_eq!(ranks, [alone.clone(), alone]);
    }
    let shares = Threads::run(3, |world| {
        let share = |own: Range<usize>| Ok::<_, Infallible>(own.map(|i| "x".repeat(i)).collect());
        Ranks(&world).share(4, share).unwrap().concat().len()
    });
    assert_eq!(shares, [6; 3], "also where a rank has nothing to do");
}

/// The final table is of as many scenes as the curves before it, and has those of other kinds and the baselines besides.
#[test]
fn the_final_table_has_more_rows_of_as_many_scenes() {
    let scenes = scenes();
    let exam = Exam::Scenes(ScenesExam::new(Arc::clone(&scenes), false, Depth::Full));
    let (report, _) = exam.report_blip(&blip(&scenes, Parts::Captioner), "", &Single).unwrap();
    let rows: Vec<_> =
        report.captions.iter().map(|row| (row.concepts.as_str(), row.pictures.as_str(), row.images)).collect();
    assert_eq!(rows, [("seen", "twemoji, held out", 500), ("held-out", "twemoji, held out", 500)]);
    assert!(report.captions.iter().all(|row| row.nearest.is_some()));
}

#[test]
fn what_a_model_says_is_shown_with_what_is_true() {
    let scenes = scenes();
    let exam = Exam::Scenes(ScenesExam::new(Arc::clone(&scenes), true, Depth::Full));
    let told = exam.tell(&blip(&scenes, Parts::Captioner), "", 6).unwrap();
    assert_eq!(told.iter().map(|told| told.pictures.len()).collect::<Vec<_>>(), [3, 3]);
    let captions = told.iter().flat_map(|told| &told.pictures).map(|(_, said)| &said[0]);
    assert!(captions.clone().all(|said| said.question.is_none() && said.truth.is_some()));
    let told = exam.tell(&blip(&scenes, Parts::Answerer), "", 6).unwrap();
    let said: Vec<_> = told.iter().flat_map(|told| &told.pictures).flat_map(|(_, said)| said).collect();
    assert!(said.len() > 12 && said.iter().all(|said| said.question.is_some()));
}
