//! Files of annotations: what people wrote about the pictures of COCO and of sets stored the same way.
//!
//! The pictures themselves stand elsewhere, and are not looked at here. An annotation of a picture that its file does
//! not list, and anything else that does not fit together, is an error: scores over a part of a set would not be those
//! of the set.

use crate::datasets::error::DatasetError;
use crate::files;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A picture and the captions that people gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptionedPicture {
    pub picture: PathBuf,
    /// There is none if the file only lists pictures, as for tests whose captions are secret.
    pub captions: Vec<String>,
    /// The part of the set, such as `train` or `restval`, if the file has several.
    pub split: Option<String>,
}

/// A question about a picture and the answers that people gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VisualQuestion {
    pub id: u64,
    pub picture: PathBuf,
    pub question: String,
    /// There is none without a file of answers.
    pub answers: Vec<String>,
}

/// COCO's own file, whose captions have the id of their picture, or Karpathy's, whose sentences stand in their picture.
#[derive(Deserialize)]
struct CaptionFile {
    images: Vec<Picture>,
    #[serde(default)]
    annotations: Vec<Caption>,
}

#[derive(Deserialize)]
struct Picture {
    /// COCO's.
    id: Option<u64>,
    file_name: Option<PathBuf>,
    /// Karpathy's, whose sets in one folder do not name it.
    #[serde(default)]
    filepath: PathBuf,
    filename: Option<PathBuf>,
    split: Option<String>,
    #[serde(default)]
    sentences: Vec<Sentence>,
}

#[derive(Deserialize)]
struct Sentence {
    raw: String,
}

#[derive(Deserialize)]
struct Caption {
    image_id: u64,
    caption: String,
}

/// A row of the lists that BLIP's authors publish, one per caption or per picture.
#[derive(Deserialize)]
struct Row {
    image: PathBuf,
    caption: OneOrMore,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// VQA's questions. The names of their pictures follow from the part of COCO that they are about, or of the drawings.
#[derive(Deserialize)]
struct QuestionFile {
    /// "mscoco", or "abstract_v002" for drawings. Files with COCO's pictures need not say it.
    #[serde(default)]
    data_type: String,
    data_subtype: String,
    questions: Vec<AskedOf>,
}

#[derive(Deserialize)]
struct AskedOf {
    question_id: u64,
    image_id: u64,
    question: String,
}

#[derive(Deserialize)]
struct AnswerFile {
    annotations: Vec<Answers>,
}

#[derive(Deserialize)]
struct Answers {
    question_id: u64,
    answers: Vec<Answer>,
}

#[derive(Deserialize)]
struct Answer {
    answer: String,
}

/// Reads a JSON file of captions: COCO's own (`captions_val2014.json`), Karpathy's splits (`dataset_coco.json`), or a
/// list of `image` and `caption` (`coco_karpathy_test.json`). `folder` is where its paths start.
///
/// # Errors
/// Returns an error that names the file if it cannot be read, has another layout, or does not fit together.
pub fn captions(path: &Path, folder: &Path) -> Result<Vec<CaptionedPicture>, DatasetError> {
    let text = read(path)?;
    if text.trim_ascii_start().starts_with(b"[") {
        return Ok(listed(parse(path, &text)?, folder));
    }
    let CaptionFile { images, annotations } = parse(path, &text)?;
    let mut places = HashMap::new();
    let mut pictures = Vec::with_capacity(images.len());
    for (place, image) in images.into_iter().enumerate() {
        if let Some(id) = image.id.filter(|&id| places.insert(id, place).is_some()) {
            return Err(unfit(path, format!("two pictures with the id {id}")));
        }
        let name = image.file_name.or(image.filename.map(|name| image.filepath.join(name)));
        let name =
            name.ok_or_else(|| unfit(path, format!("picture {} of the file has no file_name or filename", place + 1)))?;
        let captions = image.sentences.into_iter().map(|sentence| sentence.raw).collect();
        pictures.push(CaptionedPicture { picture: folder.join(name), captions, split: image.split });
    }
    for Caption { image_id, caption } in annotations {
        let missing = || unfit(path, format!("a caption of the picture {image_id}, which it does not list"));
        pictures[*places.get(&image_id).ok_or_else(missing)?].captions.push(caption);
    }
    Ok(pictures)
}

/// Returns the pictures of a list in the order of their first captions.
fn listed(rows: Vec<Row>, folder: &Path) -> Vec<CaptionedPicture> {
    let mut pictures: Vec<CaptionedPicture> = Vec::new();
    let mut places = HashMap::new();
    for Row { image, caption } in rows {
        let picture = folder.join(&image);
        let place = *places.entry(image).or_insert(pictures.len());
        if place == pictures.len() {
            pictures.push(CaptionedPicture { picture, captions: vec![], split: None });
        }
        match caption {
            OneOrMore::One(caption) => pictures[place].captions.push(caption),
            OneOrMore::More(captions) => pictures[place].captions.extend(captions),
        }
    }
    pictures
}

/// Reads VQA's questions (`v2_OpenEnded_mscoco_val2014_questions.json`) and, if there is a file of them, their answers
/// (`v2_mscoco_val2014_annotations.json`). The pictures are named `COCO_val2014_000000262148.jpg`, or for questions about
/// drawings `abstract_v002_val2015_000000020000.png`, and stand in `folder`.
///
/// # Errors
/// Returns an error that names the file if one cannot be read, has another layout, or if not every question has its
/// answers and every answer its question.
pub fn visual_questions(
    path: &Path,
    answers: Option<&Path>,
    folder: &Path,
) -> Result<Vec<VisualQuestion>, DatasetError> {
    let QuestionFile { data_type, data_subtype, questions: asked } = parse(path, &read(path)?)?;
    let mut places = HashMap::new();
    let mut questions = Vec::with_capacity(asked.len());
    for AskedOf { question_id: id, image_id, question } in asked {
        if places.insert(id, questions.len()).is_some() {
            return Err(unfit(path, format!("two questions with the id {id}")));
        }
        let picture = match data_type.starts_with("abstract") {
            true => format!("{data_type}_{data_subtype}_{image_id:012}.png"),
            false => format!("COCO_{data_subtype}_{image_id:012}.jpg"),
        };
        let picture = folder.join(picture);
        questions.push(VisualQuestion { id, picture, question, answers: vec![] });
    }
    let Some(path) = answers else { return Ok(questions) };
    for Answers { question_id, answers } in parse::<AnswerFile>(path, &read(path)?)?.annotations {
        let missing = || unfit(path, format!("answers to the question {question_id}, which nobody asks"));
        let question: &mut VisualQuestion = &mut questions[*places.get(&question_id).ok_or_else(missing)?];
        if !question.answers.is_empty() {
            return Err(unfit(path, format!("two lists of answers to the question {question_id}")));
        }
        question.answers.extend(answers.into_iter().map(|answer| answer.answer));
    }
    match questions.iter().find(|question| question.answers.is_empty()) {
        Some(question) => {
            Err(unfit(path, format!("no answer to the question {}, {:?}", question.id, question.question)))
        }
        None => Ok(questions),
    }
}

fn unfit(path: &Path, reason: String) -> DatasetError {
    DatasetError::Annotations { path: path.to_owned(), reason }
}

fn read(path: &Path) -> Result<Vec<u8>, DatasetError> {
    let bytes = std::fs::read(path).map_err(DatasetError::io(path))?;
    files::text(&bytes).map(<[u8]>::to_vec).map_err(DatasetError::io(path))
}

fn parse<T: DeserializeOwned>(path: &Path, json: &[u8]) -> Result<T, DatasetError> {
    serde_json::from_slice(json).map_err(|error| unfit(path, error.to_string()))
}
