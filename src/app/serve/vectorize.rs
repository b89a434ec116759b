//! `POST /vectorize`, as the inference containers of Weaviate's module multi2vec-clip answer it.

use super::body::parse;
use super::call::Call;
use super::inputs::{Files, MAX_INPUTS, check_texts, pictures};
use super::reply::{Answer, Fault};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    texts: Option<Vec<String>>,
    /// Files in base64.
    images: Option<Vec<String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reply<'a> {
    text_vectors: Vec<&'a [f32]>,
    image_vectors: Vec<&'a [f32]>,
}

pub(super) async fn vectorize(call: Call) -> Result<Answer, Fault> {
    let Call { server, body, .. } = call;
    let (texts, pictures) = server.threads.run_on(body.bytes.len(), move || read(&body.bytes)).await??;
    check_texts(server.model.family(), "texts", &texts)?;
    let images = server.embed_pictures(pictures, server.reading).await?;
    let texts = server.embed_texts(texts).await?.rows;
    server.threads.run(move || reply(&texts, &images)).await
}

/// Parses a request and decodes its base64.
fn read(body: &[u8]) -> Result<(Vec<String>, Files), Fault> {
    let Request { texts, images } = parse(body)?;
    let (texts, images) = (texts.unwrap_or_default(), images.unwrap_or_default());
    if texts.len() + images.len() > MAX_INPUTS {
        return Err(Fault::invalid(format!(
            "{} texts and images; a request may have {MAX_INPUTS}",
            texts.len() + images.len()
        )));
    }
    Ok((texts, pictures("images", &images)?))
}

fn reply(texts: &Array2<f32>, images: &Array2<f32>) -> Answer {
    Answer::json(&Reply { text_vectors: slices(texts), image_vectors: slices(images) })
}

fn slices(rows: &Array2<f32>) -> Vec<&[f32]> {
    rows.rows().into_iter().map(|row| row.to_slice().expect("a row of a matrix in standard layout")).collect()
}
