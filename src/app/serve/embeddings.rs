//! `POST /v1/embeddings` in the shape of OpenAI's API, and pictures besides.

use super::body::parse;
use super::call::Call;
use super::inputs::{Input, base64, check_count, check_text};
use super::reply::{Answer, Fault};
use super::server::{Server, Vectors};
use hyper::StatusCode;
use ndarray::{Array2, ArrayView1};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    input: Option<Value>,
    model: Option<String>,
    encoding_format: Option<Encoding>,
    dimensions: Option<u64>,
    /// OpenAI's name for whoever asks, which changes nothing.
    #[serde(rename = "user")]
    _user: Option<Value>,
}

/// How the numbers of an embedding are written.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    #[default]
    Float,
    /// Little-endian f32, in base64.
    Base64,
}

#[derive(Serialize)]
struct Reply<'a> {
    object: &'static str,
    data: Vec<Datum<'a>>,
    model: &'a str,
    usage: Usage,
}

#[derive(Serialize)]
struct Datum<'a> {
    object: &'static str,
    index: usize,
    embedding: Numbers<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Numbers<'a> {
    Float(&'a [f32]),
    Base64(String),
}

impl<'a> Numbers<'a> {
    fn of(row: ArrayView1<'a, f32>, encoding: Encoding) -> Self {
        let row = row.to_slice().expect("a row of a matrix in standard layout");
        match encoding {
            Encoding::Float => Numbers::Float(row),
            Encoding::Base64 => {
                let bytes: Vec<u8> = row.iter().flat_map(|x| x.to_le_bytes()).collect();
                Numbers::Base64(base64(&bytes))
            }
        }
    }
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
}

pub(super) async fn embeddings(call: Call) -> Result<Answer, Fault> {
    let Call { server, body, .. } = call;
    let (request, inputs) = server.threads.run_on(body.bytes.len(), move || read(&body.bytes)).await??;
    check(&server, &request, &inputs)?;
    let encoding = request.encoding_format.unwrap_or_default();
    let Vectors { rows, tokens } = embed(&server, inputs).await?;
    let threads = server.threads.clone();
    threads.run_on(rows.len() * size_of::<f32>(), move || reply(&server, &rows, tokens, encoding)).await
}

/// Parses a request and decodes its base64.
fn read(body: &[u8]) -> Result<(Request, Vec<Input>), Fault> {
    let mut request: Request = parse(body)?;
    let inputs = match request.input.take() {
        None => return Err(Fault::field("input", "missing")),
        Some(Value::Array(list)) => {
            check_count("input", list.len())?;
            let input = |(i, value)| Input::of(&format!("input[{i}]"), value);
            list.into_iter().enumerate().map(input).collect::<Result<_, _>>()?
        }
        Some(value) => vec![Input::of("input", value)?],
    };
    Ok((request, inputs))
}

/// Refuses what this model cannot do.
fn check(server: &Server, request: &Request, inputs: &[Input]) -> Result<(), Fault> {
    check_model(server, request.model.as_deref())?;
    let e = server.model.embed_dim();
    if let Some(dimensions) = request.dimensions.filter(|&dimensions| dimensions != e as u64) {
        let message = format!("{dimensions}; embeddings of this model have {e} numbers, and cannot be cut");
        return Err(Fault::field("dimensions", message));
    }
    for (i, input) in inputs.iter().enumerate() {
        let Input::Text(text) = input else { continue };
        if text.trim().is_empty() {
            return Err(Fault::field(format!("input[{i}]"), "an empty text"));
        }
        check_text(server.model.family(), &format!("input[{i}]"), text)?;
    }
    Ok(())
}

/// Refuses the name of another model.
///
/// # Errors
/// Returns a fault that says the name of this one.
pub(super) fn check_model(server: &Server, named: Option<&str>) -> Result<(), Fault> {
    let (name, path) = (server.model.name(), &server.model.id().path);
    match named {
        Some(other) if other != name && other != path => {
            let message = format!("the model {other} is not here, but {name}");
            let fault = Fault::new(StatusCode::NOT_FOUND, "model_not_found", message);
            Err(Fault { param: Some("model".into()), ..fault })
        }
        _ => Ok(()),
    }
}

/// Embeds texts and pictures, and returns a row for each, in their order.
///
/// # Errors
/// Returns a fault if a picture cannot be decoded, or if too much is waiting already.
pub(super) async fn embed(server: &Server, inputs: Vec<Input>) -> Result<Vectors, Fault> {
    let (mut texts, mut pictures, mut places) = (vec![], vec![], vec![]);
    for (i, input) in inputs.into_iter().enumerate() {
        match input {
            Input::Text(text) => {
                places.push((false, texts.len()));
                texts.push(text);
            }
            Input::Picture(bytes) => {
                places.push((true, pictures.len()));
                pictures.push((format!("input[{i}]"), bytes));
            }
        }
    }
    // Pictures come first: one that cannot be read spares the texts.
    let pictures = server.embed_pictures(pictures, server.reading).await?;
    let Vectors { rows: texts, tokens } = server.embed_texts(texts).await?;
    let mut rows = Array2::zeros((places.len(), server.model.embed_dim()));
    for ((is_picture, place), mut row) in places.into_iter().zip(rows.rows_mut()) {
        row.assign(&if is_picture { pictures.row(place) } else { texts.row(place) });
    }
    Ok(Vectors { rows, tokens })
}

fn reply(server: &Server, rows: &Array2<f32>, tokens: usize, encoding: Encoding) -> Answer {
    let datum = |(index, row)| Datum { object: "embedding", index, embedding: Numbers::of(row, encoding) };
    Answer::json(&Reply {
        object: "list",
        data: rows.rows().into_iter().enumerate().map(datum).collect(),
        model: server.model.name(),
        usage: Usage { prompt_tokens: tokens, total_tokens: tokens },
    })
}
