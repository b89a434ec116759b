//! Tests of every layer and model: forward and backward passes against an f64 oracle, exact savings against the plain
//! computation, the same bits on any number of threads.
#![allow(clippy::single_range_in_vec_init, reason = "one picture's rows are a list of one range")]

#[path = "../support/mod.rs"]
mod support;

mod attention;
mod attention_pool;
mod avg_pool;
mod batch_norm;
mod block;
mod bottleneck;
mod conv2d;
mod cross_attention;
mod cross_entropy;
mod distill;
mod dropout;
mod equalities;
mod feed_forward;
mod info_nce;
mod keyless_attention;
mod layer_norm;
mod linear;
mod map_head;
mod mlp;
mod models;
mod normalize;
mod one_way;
mod patch_dropout;
mod patch_embed;
mod planted;
mod pooled_block;
mod post_norm;
mod projection;
mod resnet;
mod shapes;
mod sigmoid;
mod stack;
mod stem;
mod threads;
mod token_embed;
