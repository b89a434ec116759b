//! The two activations of CLIP's MLP.

/// QuickGELU: x·σ(1.702 x), every OpenAI checkpoint. GELU: x·Φ(x) with the exact error function, most OpenCLIP ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    QuickGelu,
    Gelu,
}

impl Activation {
    /// act(x)
    pub fn apply(self, x: f32) -> f32 {
        todo!("{x}")
    }
    /// act′(x)
    pub fn derivative(self, x: f32) -> f32 {
        todo!("{x}")
    }
    /// y = act(x), elementwise over the whole slice.
    pub fn forward(self, x: &[f32], y: &mut [f32]) {
        todo!("{x:?}{y:?}")
    }
}
