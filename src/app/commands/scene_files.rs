//! Files of scenes: a folder with a table and questions, or shards.

use super::CliError;
use super::arrays::write_line;
use super::shard_writer::{Shard, write_shard};
use crate::datasets::scenes::{Ground, Noise, Place, Question, Scenes, Square};
use crate::files::write_atomic;
use crate::pictures::Picture;
use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use indicatif::ProgressBar;
use rayon::prelude::*;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use std::fs;
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;

/// Number of scenes that are painted at a time, and number of scenes in a shard.
const AT_A_TIME: usize = 64;
const PER_SHARD: usize = 1000;
/// The kind of pictures in files of questions: VQA's drawings, which are PNG files.
const DATA_TYPE: &str = "abstract_v002";
/// A scene has fewer questions.
const MAX_QUESTIONS: u64 = 100;
/// VQA has the answers of this many people.
const PEOPLE: usize = 10;

/// Writes the folder and returns the number of questions. The table comes last: without it the folder holds no pairs.
pub(super) fn write_folder(scenes: &Scenes, folder: &Path, bar: &ProgressBar) -> Result<usize, CliError> {
    let images = folder.join("images");
    fs::create_dir_all(&images).map_err(CliError::file(&images))?;
    let count = scenes.options().count;
    (0..count).into_par_iter().try_for_each(|number| {
        let path = images.join(file_name(scenes, number));
        bar.inc(1);
        // The folder is whole once it has metadata.jsonl, which comes last. An atomic write would look through the folder.
        png(scenes, number).and_then(|png| fs::write(&path, png)).map_err(CliError::file(&path))
    })?;
    let all =
        || (0..count).flat_map(|number| (0..).zip(scenes.questions(number)).map(move |(i, asked)| (number, i, asked)));
    let asked = Lazy(|| all().map(|(number, i, question)| asked(number, i, &question)));
    let answered = Lazy(|| all().map(|(number, i, question)| answered(number, i, &question)));
    let subtype = scenes.options().division.name();
    write(&folder.join("questions.json"), |out| {
        let questions =
            Vqa { data_type: DATA_TYPE, data_subtype: subtype, questions: Some(asked), annotations: None::<()> };
        Ok(serde_json::to_writer(out, &questions)?)
    })?;
    write(&folder.join("answers.json"), |out| {
        let answers =
            Vqa { data_type: DATA_TYPE, data_subtype: subtype, questions: None::<()>, annotations: Some(answered) };
        Ok(serde_json::to_writer(out, &answers)?)
    })?;
    write(&folder.join("metadata.jsonl"), |out| {
        (0..count).try_for_each(|number| {
            let file_name = format!("images/{}", file_name(scenes, number));
            write_line(out, &Row { file_name: Some(file_name), ..Row::of(scenes, number) })
        })
    })?;
    Ok(all().count())
}

/// Writes the shards and returns the number of questions. Their number comes first, so that too few are noticed.
pub(super) fn write_shards(scenes: &Scenes, folder: &Path, bar: &ProgressBar) -> Result<usize, CliError> {
    fs::create_dir_all(folder).map_err(CliError::file(folder))?;
    let count = scenes.options().count;
    let shards = count.div_ceil(PER_SHARD);
    write(&folder.join("nshards.txt"), |out| writeln!(out, "{shards}"))?;
    for shard in 0..shards {
        let numbers = shard * PER_SHARD..count.min((shard + 1) * PER_SHARD);
        let path = folder.join(format!("{shard:05}.tar"));
        write_shard(&path, |shard| scenes_of_shard(shard, scenes, numbers, bar)).map_err(CliError::file(&path))?;
    }
    Ok((0..count).map(|number| scenes.questions(number).len()).sum())
}

fn scenes_of_shard(shard: &mut Shard, scenes: &Scenes, numbers: Range<usize>, bar: &ProgressBar) -> io::Result<()> {
    for start in numbers.clone().step_by(AT_A_TIME) {
        let numbers = start..numbers.end.min(start + AT_A_TIME);
        let pictures = numbers.clone().into_par_iter().map(|number| png(scenes, number));
        let pictures: Vec<Vec<u8>> = pictures.collect::<io::Result<_>>()?;
        for (number, picture) in numbers.zip(pictures) {
            let row = Row { questions: Some(asked_and_answered(scenes, number)), ..Row::of(scenes, number) };
            let json = serde_json::to_vec(&row)?;
            shard
                .sample(&format!("{number:09}"), &[("png", &picture), ("txt", row.text.as_bytes()), ("json", &json)])?;
            bar.inc(1);
        }
    }
    Ok(())
}

fn write(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), CliError> {
    write_atomic(path, content).map_err(CliError::file(path))
}

/// Returns a picture's name as VQA has it.
fn file_name(scenes: &Scenes, number: usize) -> String {
    format!("{DATA_TYPE}_{}_{number:012}.png", scenes.options().division.name())
}

fn png(scenes: &Scenes, number: usize) -> io::Result<Vec<u8>> {
    let (mut picture, mut bytes) = (Picture::default(), vec![]);
    scenes.paint(number, &mut picture);
    let (width, height) = (picture.width as u32, picture.height as u32);
    let written = PngEncoder::new(&mut bytes).write_image(&picture.samples, width, height, ExtendedColorType::Rgb8);
    written.map(|()| bytes).map_err(io::Error::other)
}

/// A caption and what the picture shows.
#[derive(Serialize)]
struct Row {
    #[serde(skip_serializing_if = "Option::is_none")]
    file_name: Option<String>,
    text: String,
    language: &'static str,
    noise: Option<Noise>,
    ground: Ground,
    groups: Vec<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    questions: Option<Vec<Value>>,
}

/// The drawings of a kind.
#[derive(Serialize)]
struct Shown {
    name: &'static str,
    place: Option<Place>,
    /// Left edge, top edge and side of each drawing, in shares of the picture's side.
    squares: Vec<Square>,
}

impl Row {
    fn of(scenes: &Scenes, number: usize) -> Self {
        let (scene, caption) = (scenes.scene(number), scenes.caption(number));
        let shown = |i: usize| Shown {
            name: scenes.emoji().concepts()[scene.groups[i].tile.concept].label,
            place: scene.place(i),
            squares: scene.groups[i].squares.clone(),
        };
        Row {
            file_name: None,
            text: caption.text,
            language: caption.language.code(),
            noise: caption.noise,
            ground: scene.ground,
            groups: (0..scene.groups.len()).map(shown).collect(),
            questions: None,
        }
    }
}

/// A file of questions or of answers.
#[derive(Serialize)]
struct Vqa<Q, A> {
    data_type: &'static str,
    data_subtype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    questions: Option<Q>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<A>,
}

fn id(number: usize, i: u64) -> u64 {
    number as u64 * MAX_QUESTIONS + i
}

fn asked(number: usize, i: u64, question: &Question) -> Value {
    let (id, language) = (id(number, i), question.language.code());
    json!({"question_id": id, "image_id": number, "question": question.text, "language": language})
}

fn answered(number: usize, i: u64, question: &Question) -> Value {
    let (id, answer) = (id(number, i), &question.answer);
    let answers = (1..=PEOPLE).map(|who| json!({"answer_id": who, "answer": answer, "answer_confidence": "yes"}));
    let answers: Vec<Value> = answers.collect();
    json!({
        "question_id": id, "image_id": number, "question_type": question.asked, "multiple_choice_answer": answer,
        "answers": answers,
    })
}

fn asked_and_answered(scenes: &Scenes, number: usize) -> Vec<Value> {
    let pair = |question: &Question| {
        let (asked, language) = (question.asked, question.language.code());
        json!({"asked": asked, "language": language, "question": question.text, "answer": question.answer})
    };
    scenes.questions(number).iter().map(pair).collect()
}

/// A list that is made while it is written.
struct Lazy<F>(F);

impl<F: Fn() -> I, I: Iterator<Item: Serialize>> Serialize for Lazy<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}
