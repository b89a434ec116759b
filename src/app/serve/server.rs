//! What all requests share: the model and its queue, the folders, the limits, the counts.

use super::collection::Collections;
use super::guard::Guard;
use super::inputs::Files;
use super::metrics::Metrics;
use super::model::Model;
use super::queue::{Job, Queue, Work};
use super::reply::Fault;
use super::studies::Studies;
use super::threads::{Memory, Threads};
use crate::embed::Load;
use crate::layers::patch_embed::CHANNELS;
use crate::pictures::{Picture, Reading, Scratch};
use ndarray::{Array2, ArrayView2, Axis, concatenate};
use std::mem::replace;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// What a request may ask for, and how long it may take.
#[derive(Clone, Debug)]
pub(in crate::app) struct Limits {
    /// The largest body in bytes.
    pub body: usize,
    /// The most texts and pictures that wait for the model.
    pub queue: usize,
    /// The most connections.
    pub connections: usize,
    /// How long a connection may be without a whole header.
    pub header: Duration,
    /// How long a body may take, and how long an answer may stand still on its way.
    pub transfer: Duration,
    /// How long those who were just answered are waited for.
    pub patience: Duration,
    /// How long open requests are waited for at the end.
    pub drain: Duration,
}

/// The shared state.
pub(super) struct Server {
    pub model: Arc<Model>,
    pub queue: Arc<Queue>,
    pub collections: Collections,
    /// Answers that take long.
    pub studies: Studies,
    pub metrics: Arc<Metrics>,
    pub limits: Limits,
    pub guard: Guard,
    pub threads: Threads,
    /// The memory of the bodies of requests.
    pub bodies: Memory,
    /// The memory of decoded pictures, which a few bytes can become in a body.
    pub pictures: Memory,
    /// How pictures in requests are read, other than those of queries.
    pub reading: Reading,
}

/// The embeddings of texts.
pub(super) struct Vectors {
    /// A row for each text.
    ///
    /// (N,e)
    pub rows: Array2<f32>,
    /// Number of tokens that they were embedded by.
    pub tokens: usize,
}

impl Server {
    /// Embeds texts, together with those of other requests where that changes no bit.
    ///
    /// # Errors
    /// Returns a fault if too much is waiting already.
    pub async fn embed_texts(&self, texts: Vec<String>) -> Result<Vectors, Fault> {
        let (model, most) = (Arc::clone(&self.model), self.model.family().texts_at_a_time());
        let bytes = texts.iter().map(String::len).sum();
        let cut = move || -> Vec<(Work, Load)> {
            let piece = |texts: &[String]| (Work::Texts(texts.to_vec()), model.texts_load(texts));
            texts.chunks(most).map(piece).collect()
        };
        let pieces = self.threads.run_on(bytes, cut).await?;
        let tokens = pieces.iter().map(|(_, load)| load.rows).sum();
        Ok(Vectors { rows: self.ask(pieces).await?, tokens })
    }

    /// Embeds picture files, of which each is named by the field of the request that has it.
    ///
    /// # Errors
    /// Returns a fault if one cannot be decoded, or if too much is waiting already.
    pub async fn embed_pictures(&self, files: Files, reading: Reading) -> Result<Array2<f32>, Fault> {
        let family = self.model.family();
        let bytes = files.len() * picture_bytes(family.preprocess().size);
        let wait = || Fault::busy("the pictures of other requests fill the memory (--queue); try again a little later");
        let _reserved = self.pictures.try_reserve(bytes).ok_or_else(wait)?;
        let (mut rest, mut pieces) = (self.decoded(files, reading).await?, vec![]);
        while !rest.is_empty() {
            let behind = rest.split_off(family.pictures_at_a_time().min(rest.len()));
            let load = family.pictures_load(rest.len());
            pieces.push((Work::Pictures(replace(&mut rest, behind)), load));
        }
        self.ask(pieces).await
    }

    /// Decodes picture files, so many at a time that all processors have work, and no more: requests of others come in
    /// between.
    async fn decoded(&self, files: Files, reading: Reading) -> Result<Vec<Picture>, Fault> {
        let (mut pictures, mut files) = (Vec::with_capacity(files.len()), files.into_iter());
        while files.len() > 0 {
            let few = files.by_ref().take(self.threads.count());
            let few: Vec<_> = few.map(|(param, bytes)| (param, self.decode(bytes, reading))).collect();
            for (param, picture) in few {
                let picture = picture.await.map_err(Fault::internal)??;
                pictures.push(picture.map_err(|reason| Fault::field(param, reason))?);
            }
        }
        Ok(pictures)
    }

    /// Begins to decode a picture's file.
    fn decode(&self, bytes: Vec<u8>, reading: Reading) -> JoinHandle<Result<Result<Picture, String>, Fault>> {
        let (model, threads) = (Arc::clone(&self.model), self.threads.clone());
        tokio::spawn(async move { threads.run(move || decode(&model, &bytes, reading)).await })
    }

    /// Lets pieces of work wait and returns their rows.
    async fn ask(&self, pieces: Vec<(Work, Load)>) -> Result<Array2<f32>, Fault> {
        let job = |(work, load)| {
            let (reply, receiver) = oneshot::channel();
            (Job { work, load, reply }, receiver)
        };
        let (jobs, receivers): (Vec<Job>, Vec<_>) = pieces.into_iter().map(job).unzip();
        self.queue.push(jobs)?;
        let mut all = vec![];
        for receiver in receivers {
            all.push(receiver.await.map_err(|_| Fault::internal("the model is gone"))??);
        }
        let views: Vec<ArrayView2<f32>> = all.iter().map(|rows| rows.view()).collect();
        let none = || Array2::zeros((0, self.model.embed_dim()));
        Ok(if views.is_empty() { none() } else { concatenate(Axis(0), &views).expect("rows of one width") })
    }
}

/// Returns the memory of a picture of this edge.
pub(super) fn picture_bytes(edge: usize) -> usize {
    CHANNELS * edge * edge
}

/// Decodes a picture and makes it as small as the model sees it.
fn decode(model: &Model, bytes: &[u8], reading: Reading) -> Result<Picture, String> {
    let picture = model.view(reading).decode(bytes);
    let picture = picture.map_err(|error| format!("not a picture that can be read: {error}"))?;
    let picture = if reading.exif { picture.upright() } else { picture };
    Ok(model.family().preprocess().reduce(&picture, &mut Scratch::default()))
}
