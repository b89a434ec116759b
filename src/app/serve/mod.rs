//! The server of embeddings and of searches in indexed folders, over HTTP.
//!
//! The stack is hyper on tokio, which has what ten thousand idle connections, slow clients and an orderly end need. It is
//! HTTP/1 without a router: a router would be another dozen of crates for a table of twenty lines. It is a part of the
//! feature `app`: the ten crates that it adds are built in ten seconds on two cores, and only once, while a feature of its
//! own would be one more variant of the program to build and to test.
//!
//! One thread waits for all connections. Whatever takes a processor for a while, such as decoding, goes to other threads,
//! so many at a time as there are processors. One more thread asks the model, for all requests at once. The embeddings are
//! those of `clipwright embed` to the bit, in whichever company: [`Load`](crate::embed::Load) says what may share a pass.
//!
//! One more route is one more line in `routes`, a handler, and its description in `openapi.json`.
//!
//! | file | what it knows |
//! |---|---|
//! | `listen`, `stall` | connections, and those that stand still |
//! | `answer` | the way from a request to its answer |
//! | `guard`, `body` | who may ask; bodies within limits |
//! | `routes`, `call` | the table of routes; what a handler is given |
//! | `reply`, `file_body` | answers and faults; files on their way |
//! | `run`, `signals` | the life of a server, and what ends it |
//! | `server`, `threads` | what requests share; work on other threads, memory |
//! | `model`, `queue`, `worker` | the model, what waits for it, the thread that asks it |
//! | `collection` | indexed folders and the ids of their pictures |
//! | `inputs`, `url_query`, `search_request` | texts and pictures; addresses; what a search looks for |
//! | `embeddings`, `vectorize`, `rank` | embeddings as OpenAI and Weaviate have them; texts for pictures |
//! | `search`, `pictures`, `reindex` | the routes of the collections |
//! | `map`, `duplicates`, `study`, `studies` | those that take long, and how they are made and kept |
//! | `status`, `metrics` | what the server says of itself |
//! | `page` | the page for people |

mod answer;
mod body;
mod call;
mod collection;
mod duplicates;
mod embeddings;
mod file_body;
mod guard;
mod inputs;
mod listen;
mod map;
mod metrics;
mod model;
mod page;
mod pictures;
mod queue;
mod rank;
mod reindex;
mod reply;
mod routes;
mod run;
mod search;
mod search_request;
mod server;
mod signals;
mod stall;
mod status;
mod studies;
mod study;
mod threads;
mod url_query;
mod vectorize;
mod worker;

pub(super) use collection::{Collection, Collections};
pub(super) use guard::Guard;
pub(super) use model::Model;
pub(super) use run::{Listening, Setup, run};
pub(super) use server::Limits;
pub(super) use status::Health;
