//! `POST /rank`: texts for a picture, or pictures for a text. `POST /classify`: labels for pictures.

use super::body::parse;
use super::call::Call;
use super::inputs::{Files, MAX_INPUTS, check_count, check_texts, picture, pictures};
use super::reply::{Answer, Fault};
use super::server::Server;
use crate::app::commands::ranking::{Ranking, Scored};
use crate::eval::templates::{PLACE, called, prompts};
use crate::eval::zero_shot::class_embeddings;
use ndarray::Array2;
use serde::{Deserialize, Serialize};

/// How many labels are named if a request does not say it.
const BEST: usize = 5;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RankRequest {
    text: Option<String>,
    texts: Option<Vec<String>>,
    image: Option<String>,
    images: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassifyRequest {
    image: Option<String>,
    images: Option<Vec<String>>,
    labels: Vec<String>,
    templates: Option<Templates>,
    k: Option<usize>,
}

/// The sentences that labels are put into: `simple`, `openai`, or a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Templates {
    Name(String),
    List(Vec<String>),
}

#[derive(Serialize)]
struct Ranked<'a> {
    model: &'a str,
    best: Vec<Best<'a>>,
}

/// A text or a picture with its scores.
#[derive(Serialize)]
struct Best<'a> {
    /// Its place in the list of the request, from 0.
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    cosine: f32,
    probability: f64,
}

impl<'a> Best<'a> {
    fn of(scored: &Scored<'a>, has_text: bool) -> Self {
        let &Scored { index, text, cosine, probability } = scored;
        Best { index, text: has_text.then_some(text), cosine, probability }
    }
}

#[derive(Serialize)]
struct Classified<'a> {
    model: &'a str,
    images: Vec<Named<'a>>,
}

#[derive(Serialize)]
struct Named<'a> {
    best: Vec<Best<'a>>,
}

pub(super) async fn rank(call: Call) -> Result<Answer, Fault> {
    let Call { server, body, .. } = call;
    let (texts, files, is_of_texts) =
        server.threads.run_on(body.bytes.len(), move || sides(parse(&body.bytes)?)).await??;
    check_texts(server.model.family(), "texts", &texts)?;
    let images = server.embed_pictures(files, server.reading).await?;
    let rows = server.embed_texts(texts.clone()).await?.rows;
    let (one, many) = if is_of_texts { (&images, &rows) } else { (&rows, &images) };
    let names = if is_of_texts { texts } else { vec![String::new(); images.nrows()] };
    let logits = server.model.logits();
    let ranking = Ranking::new(String::new(), one.row(0), &names, many.view(), logits, names.len());
    let best = ranking.best.iter().map(|scored| Best::of(scored, is_of_texts)).collect();
    Ok(Answer::json(&Ranked { model: server.model.name(), best }))
}

/// Returns the texts and the pictures of a request, and whether the texts are ranked.
fn sides(request: RankRequest) -> Result<(Vec<String>, Files, bool), Fault> {
    match request {
        RankRequest { text: None, texts: Some(texts), image: Some(image), images: None } => {
            check_count("texts", texts.len())?;
            Ok((texts, files(Some(image), None)?, true))
        }
        RankRequest { text: Some(text), texts: None, image: None, images: Some(images) } => {
            Ok((vec![text], files(None, Some(images))?, false))
        }
        _ => Err(Fault::invalid("either image and texts, or text and images")),
    }
}

/// Decodes the pictures of a request, which has one or a list.
fn files(image: Option<String>, images: Option<Vec<String>>) -> Result<Files, Fault> {
    match (image, images) {
        (Some(image), None) => Ok(vec![picture("image", &image).map(|bytes| ("image".into(), bytes))?]),
        (None, Some(images)) => {
            check_count("images", images.len())?;
            pictures("images", &images)
        }
        _ => Err(Fault::invalid("either image or images")),
    }
}

pub(super) async fn classify(call: Call) -> Result<Answer, Fault> {
    let Call { server, body, .. } = call;
    let (request, files) = server.threads.run_on(body.bytes.len(), move || read(&body.bytes)).await??;
    let ClassifyRequest { labels, templates, k, .. } = request;
    let templates = sentences(templates)?;
    check_count("labels", labels.len())?;
    if labels.len() * templates.len() > MAX_INPUTS {
        let message = format!(
            "{} labels in {} templates; a request may have {MAX_INPUTS} sentences",
            labels.len(),
            templates.len()
        );
        return Err(Fault::field("labels", message));
    }
    check_texts(server.model.family(), "labels", &labels)?;
    let images = server.embed_pictures(files, server.reading).await?;
    let classes = classes(&server, &labels, &templates).await?;
    let named = |image| {
        let ranking =
            Ranking::new(String::new(), image, &labels, classes.view(), server.model.logits(), k.unwrap_or(BEST));
        Named { best: ranking.best.iter().map(|scored| Best::of(scored, true)).collect() }
    };
    let images = images.rows().into_iter().map(named).collect();
    Ok(Answer::json(&Classified { model: server.model.name(), images }))
}

fn read(body: &[u8]) -> Result<(ClassifyRequest, Files), Fault> {
    let mut request: ClassifyRequest = parse(body)?;
    let files = files(request.image.take(), request.images.take())?;
    Ok((request, files))
}

/// Returns the sentences that labels are put into.
fn sentences(templates: Option<Templates>) -> Result<Vec<String>, Fault> {
    let known = match templates {
        None => called("simple"),
        Some(Templates::Name(name)) => called(&name),
        Some(Templates::List(list)) => {
            Some(list).filter(|list| !list.is_empty() && list.iter().all(|template| template.contains(PLACE)))
        }
    };
    let wrong = "neither simple nor openai nor a list of sentences with {} in each";
    known.ok_or_else(|| Fault::field("templates", wrong))
}

/// Returns an embedding for each label.
///
/// result (N,e)
async fn classes(server: &Server, labels: &[String], templates: &[String]) -> Result<Array2<f32>, Fault> {
    let sentences: Vec<String> = labels.iter().flat_map(|label| prompts(templates, label)).collect();
    let class: Vec<usize> = (0..sentences.len()).map(|i| i / templates.len()).collect();
    let rows = server.embed_texts(sentences).await?.rows;
    Ok(class_embeddings(rows.view(), &class, labels.len()))
}
