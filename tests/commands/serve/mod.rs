//! `clipwright serve` over real connections.
//!
//! | file | what it asks |
//! |---|---|
//! | `client` | a server of its own for each test, and a client that sends what it is told |
//! | `embeddings` | embeddings in both shapes, equal to those of `embed`, alone and in company |
//! | `collections` | searches, ids, pictures, updates |
//! | `fuzz` | damaged requests |
//! | `studies` | maps and duplicates, which take long |
//! | `hostile` | requests that are wrong, large, slow, or from elsewhere |
//! | `life` | the beginning, many clients, those that leave, the end |
//! | `driver`, `browser` | the page in Chromium, where it is installed |
//! | `description` | `openapi.json` against the routes and their answers |

mod browser;
mod client;
mod collections;
mod description;
mod driver;
mod embeddings;
mod fuzz;
mod hostile;
mod life;
mod studies;
