//! What a batch normalisation is given beside x.

/// The ε of every CLIP checkpoint.
pub const EPS: f32 = 1e-5;

/// What x is normalised by: vectors of one number per column.
#[derive(Clone, Copy, Debug)]
pub struct Norm<'a> {
    /// The mean μ.
    pub mean: &'a [f32],
    /// The reciprocal r = 1/√(σ² + ε) of the deviation.
    pub rstd: &'a [f32],
    pub weight: &'a [f32],
    pub bias: &'a [f32],
}

/// What is added to the normalised x.
#[derive(Clone, Copy, Debug)]
pub enum Residual<'a> {
    /// Nothing is added.
    None,
    /// These numbers are added.
    Plain(&'a [f32]),
    /// These numbers are added after they have been normalised in their own way.
    Normed(Norm<'a>, &'a [f32]),
}

/// Where the activation behind the normalisation lets the gradient through.
#[derive(Clone, Copy, Debug)]
pub enum Gate<'a> {
    /// There is no activation.
    Open,
    /// y = max(0, z), where z is made again from x.
    Own,
    /// y = max(0, z + residual), and this is y.
    Output(&'a [f32]),
}

impl Norm<'_> {
    /// All four vectors.
    pub(super) fn vectors(&self) -> [&[f32]; 4] {
        [self.mean, self.rstd, self.weight, self.bias]
    }
}
