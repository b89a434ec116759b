//! Matrix product with a fused last pass: C ← epilogue(α·A·B + β·C).
//!
//! | file | what it is for |
//! |---|---|
//! | `matrix`, `epilogue` | the operands: views of matrices, and what is fused to the end |
//! | `products` | the products that the crate offers |
//! | `backend`, `product` | who multiplies, and the checked product that it is given |
//! | `blocking`, `blocked`, `slab` | sizes of blocks; cutting a product into tasks; a task's way through its tiles |
//! | `skinny` | a few rows times weights as they lie, by dot products |
//! | `kernel`, `tile`, `dots`, `vector` | the micro-kernels and the registers that they are written in |
//! | `block`, `finish` | a rectangle of C that one task writes, and the last pass over it |
//! | `source`, `pack`, `panels` | what an operand is gathered from; packing a matrix; weights that are laid out once |
//! | `numbers` | numbers of 32 bits, and of 16 that are widened as they are read |
//! | `fetched` | weights that products fetch when they need them |
//! | `weight` | weights in whichever form they are kept |
//! | `patches`, `runs`, `pack_patches`, `filters` | the operands of a convolution |
//! | `gathered`, `winograd` | the products of a convolution |
//! | `int8` | products with weights of eight bits |
//! | `naive`, `peak` | the definition, and the yardstick |

mod backend;
mod block;
mod blocked;
mod blocking;
mod dots;
mod epilogue;
mod fetched;
mod filters;
mod finish;
mod gathered;
pub mod int8;
mod kernel;
mod matrix;
mod naive;
mod numbers;
mod pack;
mod pack_patches;
mod panels;
mod patches;
pub mod peak;
mod product;
mod products;
mod runs;
mod skinny;
mod slab;
mod source;
#[cfg(test)]
mod tests;
mod tile;
mod vector;
mod weight;
mod winograd;

pub use backend::Backend;
pub use epilogue::Epilogue;
pub use fetched::{Fetch, Fetched};
pub(crate) use filters::Filters;
pub(crate) use gathered::{filter, patch_gradient};
pub use matrix::{Mat, MatMut};
#[doc(hidden)]
pub use naive::naive;
pub use numbers::Numbers;
pub use panels::Panels;
pub(crate) use patches::Patches;
pub use products::{gemm, gemm_by, gemm_fetched, gemm_fetched_on, gemm_on, gemm_panels, gemm_panels_on};
/// Products of at most so many rows may add in another order than those of more.
pub use skinny::MAX_ROWS as FEW_ROWS;
pub(crate) use source::transpose_matrix;
pub use weight::Weight;
pub(crate) use winograd::{Tiling, winograd};
