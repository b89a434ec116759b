//! `clipwright serve`: answers requests for embeddings and searches over HTTP.

use super::classify::logits_of;
use super::pictures::ReadingOptions;
use super::{CliError, Context};
use crate::app::number::{positive, up_to};
use crate::app::serve::{Collection, Collections, Guard, Limits, Listening, Model, Setup, run};
use crate::counted::counted;
use crate::files::{self, serialize_name};
use crate::index::{Index, ModelId};
use clap::Args;
use serde::Serialize;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The shortest token.
const MIN_TOKEN: usize = 16;
/// The largest number of MiB of a body, and of everything that is counted in seconds or pieces.
const MAX_BODY: u32 = 1 << 10;
const MAX_SECONDS: u32 = 24 * 60 * 60;
const MAX_COUNT: u32 = 1 << 20;

/// Serve embeddings, and searches in indexed folders, over HTTP
///
/// The routes for embeddings are those of OpenAI's API and of Weaviate's multi2vec-clip, so that programs made for these
/// work with a model on this machine. Texts and pictures of all clients are embedded together, and each has the bits that
/// `clipwright embed` gives. GET /openapi.json describes all routes.
///
/// Only this machine can reach the server unless --listen says otherwise; then a token is needed. Only pictures of the
/// indexes are served, and the server itself fetches nothing. SIGTERM or Ctrl-C lets open requests finish.
#[derive(Debug, Args)]
#[command(after_help = "\
Routes:
  POST /v1/embeddings   {\"input\": \"a dog\", or a list of texts, {\"text\": …} and
                        {\"image\": base64 or data URI}}; GET /v1/models
  POST /vectorize       {\"texts\": […], \"images\": [base64, …]}; GET /meta
  POST /rank            {\"image\": …, \"texts\": […]} or {\"text\": …, \"images\": […]}
  POST /classify        {\"image\": …, \"labels\": […], \"templates\": \"openai\"}
  GET  /search?q=TEXT   also not, like=ID, k, offset, path, not_path, after,
                        before, above, index; POST /search takes pictures, and
                        parts with weights
  GET  /map             the pictures as a map; GET /duplicates?above=COSINE the
                        groups of which one is enough: 202 says how far it is
  GET  /item/ID, /thumb/ID?size=PIXELS, /picture/ID
  POST /reindex         embeds what has changed; GET /reindex says how far it is
  GET  /health, /metrics (Prometheus), /openapi.json

Examples:
  clipwright serve photos
  clipwright serve photos drawings --listen 127.0.0.1:9000
  clipwright serve --model ViT-B-32 --listen 0.0.0.0:8080 --token-file token
  curl -s localhost:8080/search?q=snow | jq .hits
  curl -s localhost:8080/v1/embeddings -d '{\"input\": [\"a dog\", \"a cat\"]}'")]
pub(crate) struct Serve {
    /// Folders of indexes, or the folders of pictures that they are in
    #[arg(value_name = "INDEX")]
    indexes: Vec<PathBuf>,
    /// Address and port to listen at; port 0 is any that is free
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// File with a token that requests must have: Authorization: Bearer TOKEN
    ///
    /// It is needed if other machines can reach the server, which without TLS in front of it shows the token to whoever
    /// can listen in. One is made by: openssl rand -hex 32 > token. GET /health needs none.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Another name by which this machine is called, if the server is on loopback behind a proxy
    ///
    /// On loopback a request must call the server localhost or by a loopback address. Otherwise a page from elsewhere
    /// could point a name of its own at this machine and read the pictures.
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    #[arg(long, value_name = "ORIGIN", help = "Another site whose pages may ask, such as https://photos.example")]
    cors: Vec<String>,
    #[command(flatten)]
    reading: ReadingOptions,
    #[command(flatten, next_help_heading = "Limits")]
    bounds: Bounds,
}

/// The limits of requests.
#[derive(Debug, Args)]
struct Bounds {
    /// Largest body of a request in MiB
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = up_to(MAX_BODY))]
    max_body: usize,
    /// Number of texts and pictures that wait for the model; whoever comes then is told to come again (429)
    ///
    /// A picture that waits takes three bytes for each pixel that the model sees, of 224 × 224 pixels 150 KB.
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = up_to(MAX_COUNT))]
    queue: usize,
    /// Number of connections at a time
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = up_to(MAX_COUNT))]
    connections: usize,
    /// Seconds that a connection may be idle, or take for the header of a request
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = up_to(MAX_SECONDS))]
    idle_timeout: usize,
    /// Seconds that the body of a request may take, or an answer stand still on its way
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = up_to(MAX_SECONDS))]
    transfer_timeout: usize,
    /// Milliseconds that a busy model waits for more, before it embeds what there is
    #[arg(long, value_name = "MS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=1000))]
    batch_wait: u64,
    /// Seconds that open requests have at the end
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = positive())]
    drain_timeout: usize,
}

impl Bounds {
    fn limits(&self) -> Limits {
        let seconds = |seconds: usize| Duration::from_secs(seconds as u64);
        Limits {
            body: self.max_body << 20,
            queue: self.queue,
            connections: self.connections,
            header: seconds(self.idle_timeout),
            transfer: seconds(self.transfer_timeout),
            patience: Duration::from_millis(self.batch_wait),
            drain: seconds(self.drain_timeout),
        }
    }
}

impl Serve {
    pub(crate) fn run(self, context: &Context) -> Result<(), CliError> {
        let token = self.token()?;
        let indexes: Vec<Index> = self.indexes.iter().map(|path| Index::open(path)).collect::<Result<_, _>>()?;
        let opened = match indexes.first() {
            Some(index) => context.open_for(&index.manifest().model)?,
            None => context.open_either()?,
        };
        let id = ModelId::of(&opened)?;
        // A model of other indexes is told before its weights are read.
        indexes.iter().try_for_each(|index| index.manifest().check_model(index.folder(), &id))?;
        let family = opened.both()?;
        let logits = logits_of(&family);
        let model = Model::new(family, id, logits);
        let collections: Vec<Collection> =
            indexes.into_iter().map(|index| Collection::new(index, &model)).collect::<Result<_, _>>()?;
        let collections = Collections::new(collections);
        let refused = |source| CliError::Usage(format!("--listen {}: {source}", self.listen));
        let listening = Listening::at(self.listen).map_err(refused)?;
        let address = listening.address().map_err(refused)?;
        context.output.show(&Started::of(address, &model, &collections))?;
        let guard = Guard::new(address, token, self.host.clone(), self.cors.clone());
        let (limits, reading) = (self.bounds.limits(), self.reading.reading());
        let is_finished = run(Setup { model, collections, guard, limits, reading }, listening).map_err(refused)?;
        if !is_finished {
            let seconds = counted(self.bounds.drain_timeout, "second");
            note!("warning: some requests were not finished within {seconds} (--drain-timeout)");
        }
        Ok(())
    }

    /// Reads the token, which there must be if other machines can reach the server.
    fn token(&self) -> Result<Option<String>, CliError> {
        let Some(path) = &self.token_file else {
            if self.listen.ip().is_loopback() {
                return Ok(None);
            }
            let message =
                "other machines can reach this address, so say --token-file FILE; openssl rand -hex 32 makes a token";
            return Err(CliError::Usage(format!("--listen {}: {message}", self.listen)));
        };
        let refused = |reason: String| CliError::Usage(format!("--token-file {}: {reason}", path.display()));
        let bytes = files::read(path).map_err(CliError::file(path))?;
        let token = String::from_utf8_lossy(&bytes).trim().to_owned();
        if token.len() < MIN_TOKEN {
            return Err(refused(format!("a token of {}; it has {MIN_TOKEN} or more", counted(token.len(), "byte"))));
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(refused("not one line of visible ASCII characters without blanks".into()));
        }
        Ok(Some(token))
    }
}

/// What is served where.
#[derive(Serialize)]
struct Started {
    address: String,
    model: String,
    #[serde(serialize_with = "serialize_name")]
    model_path: PathBuf,
    dimensions: usize,
    indexes: Vec<Served>,
}

#[derive(Serialize)]
struct Served {
    index: String,
    #[serde(serialize_with = "serialize_name")]
    folder: PathBuf,
    pictures: usize,
}

impl Started {
    fn of(address: SocketAddr, model: &Model, collections: &Collections) -> Self {
        let served = |collection: &Collection| {
            let index = collection.index();
            Served { index: collection.name().into(), folder: index.root(), pictures: index.all().count() }
        };
        Started {
            address: format!("http://{address}"),
            model: model.name().into(),
            model_path: Path::new(&model.id().path).into(),
            dimensions: model.embed_dim(),
            indexes: collections.iter().map(served).collect(),
        }
    }
}

impl fmt::Display for Started {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Started { address, model, model_path, dimensions, indexes } = self;
        write!(f, "{address}  model {model} ({}), embeddings of {dimensions}", model_path.display())?;
        for Served { index, folder, pictures } in indexes {
            write!(f, "\n  {index}: {} in {}", counted(*pictures, "picture"), folder.display())?;
        }
        Ok(())
    }
}
