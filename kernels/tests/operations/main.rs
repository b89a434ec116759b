//! Every operation on every instruction set against its naive twin in f64, and its bits on any number of threads.

#[path = "../support/mod.rs"]
mod support;

mod activation;
mod adamw;
mod attention;
mod avg_pool;
mod batch_norm;
mod cross_entropy;
mod dropout;
mod embedding;
mod half;
mod info_nce;
mod jpeg;
mod layer_norm;
mod normalize;
mod reduce;
mod resample;
mod rows;
mod sigmoid;
