//! A collection of vectors as a map: each is a point of the plane, near those that it is like, and regions have names.
//!
//! | file | what it knows |
//! |---|---|
//! | `directions` | the directions in which vectors are largest, or differ most (PCA) |
//! | `neighbours` | the nearest others of each vector, exactly |
//! | `affinities` | how much each vector wants to be beside each of its neighbours |
//! | `quadtree` | the push of all points on one, without looking at each |
//! | `layout` | t-SNE: the descent on which points find their places |
//! | `clusters` | groups of vectors (k-means), and the words that name them |
//!
//! **Why t-SNE.** The two directions of PCA hold a tenth of what tells embeddings apart, so that on a map by PCA unlike
//! pictures lie on each other. t-SNE (van der Maaten and Hinton 2008) gives up distances between what is far apart, and
//! keeps who is whose neighbour. It begins at the map by PCA, which makes it deterministic and keeps the large picture
//! better than a random beginning (Kobak and Berens 2019).
//!
//! **Cost.** The neighbours are exact: N²·e products. A step of the descent takes N·k for the pull, and N·log N for the
//! push by a quadtree (van der Maaten 2014). All of it takes 14 seconds of one core for 10,000 embeddings of 256 numbers and
//! 29 for 20,000; for 100,000 of 512 it is about five minutes, of which the neighbours are a third.
//!
//! Interpolation of the push on a grid with a fast Fourier transform (Linderman et al. 2019) is linear in N, but the grid
//! grows with the map: it is ahead only where the exact neighbours take most of the time anyway. Pushes of a few points
//! drawn by lot, as UMAP has them, are cheaper still and have no objective that a gradient could be checked against.

mod affinities;
mod clusters;
pub(crate) mod directions;
mod layout;
mod neighbours;
mod quadtree;

pub use clusters::{Clusters, cluster, default_clusters, names};
pub use layout::{STEPS, by_neighbours, by_principal_components};

/// A place on the map.
pub type Point = [f64; 2];
