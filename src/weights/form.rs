//! The forms in which the numbers of a leaf lie in memory.

use super::half::Half;
use crate::params::{Layout, Spec};
use kernels::gemm::int8::Int8;
use kernels::gemm::{Backend, Panels, Weight};

/// How a leaf's numbers lie.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    /// The numbers lie in the order of the checkpoint.
    Plain,
    /// So many numbers of 16 bits lie in the order of the checkpoint.
    Half { half: Half, len: usize },
    /// The numbers lie in panels, as the micro-kernel of the product reads them, in 32 bits or 16.
    Panels { outputs: usize, inputs: usize, half: Option<Half> },
    /// The numbers have eight bits.
    Int8 { outputs: usize, inputs: usize },
}

/// To what a leaf is rounded, if its layer reads such numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bits {
    /// The leaf keeps its 32 bits.
    All,
    Half(Half),
    Int8,
}

impl Form {
    /// Returns the form that is fastest on this machine among those that the leaf's layer can read.
    pub fn of(spec: &Spec, bits: Bits) -> Form {
        let (outputs, inputs) = match spec.shape[..] {
            [outputs, ref rest @ ..] => (outputs, rest.iter().product()),
            [] => (1, 1),
        };
        if bits == Bits::Int8 && spec.layout == (Layout::Linear { rounds: true }) && Int8::fit(outputs, inputs) {
            return Form::Int8 { outputs, inputs };
        }
        let half = if let Bits::Half(half) = bits { Some(half) } else { None };
        let in_panels = match spec.layout {
            Layout::Rows => false,
            Layout::Lookup => return half.map_or(Form::Plain, |half| Form::Half { half, len: spec.size() }),
            Layout::Linear { .. } | Layout::Filters { .. } => Panels::fit(outputs),
            Layout::Table => true,
        };
        let in_panels = in_panels && Backend::chosen() == Backend::Simd;
        if in_panels { Form::Panels { outputs, inputs, half } } else { Form::Plain }
    }

    /// Returns how many floats of memory the leaf takes.
    pub fn size(self, spec: &Spec) -> usize {
        match self {
            Form::Plain => spec.size(),
            Form::Half { len, .. } => len.div_ceil(2),
            Form::Panels { outputs, inputs, half: None } => Panels::size(outputs, inputs),
            Form::Panels { outputs, inputs, half: Some(_) } => Panels::size(outputs, inputs) / 2,
            Form::Int8 { outputs, inputs } => Int8::size(outputs, inputs),
        }
    }

    /// Brings the leaf's rows, with which `data` begins, into this form, which rounds nothing.
    pub fn lay_out(self, spec: &Spec, data: &mut [f32]) {
        if let Form::Panels { outputs, inputs, .. } = self {
            let taps = if let Layout::Filters { taps } = spec.layout { taps } else { 1 };
            Panels::lay_out_filters(data, outputs, inputs / taps, taps);
        }
    }

    /// Whether the leaf's rows can be read into the place of this form, which [`lay_out`](Self::lay_out) then makes of
    /// them.
    pub fn is_wide(self) -> bool {
        matches!(self, Form::Plain | Form::Panels { half: None, .. })
    }

    /// Writes the leaf's rows in this form. They may be changed.
    pub fn write(self, spec: &Spec, rows: &mut Vec<f32>, to: &mut [f32]) {
        match self {
            Form::Plain | Form::Panels { half: None, .. } => {
                to[..rows.len()].copy_from_slice(rows);
                self.lay_out(spec, to);
            }
            Form::Half { half, len } => half.round(rows, &mut bytemuck::cast_slice_mut(to)[..len]),
            Form::Panels { outputs, inputs, half: Some(half) } => {
                rows.resize(Panels::size(outputs, inputs), 0.0);
                self.lay_out(spec, rows);
                half.round(rows, bytemuck::cast_slice_mut(to));
            }
            Form::Int8 { outputs, inputs } => Int8::round(rows, outputs, inputs, to),
        }
    }

    /// Views a leaf in this form.
    pub fn view(self, data: &[f32]) -> Weight<'_> {
        match self {
            Form::Plain => Weight::Plain(data),
            Form::Half { half, len } => Weight::Half(half.numbers(&bytemuck::cast_slice(data)[..len])),
            Form::Panels { outputs, inputs, half: None } => Weight::Panels(Panels::new(data, outputs, inputs)),
            Form::Panels { outputs, inputs, half: Some(half) } => {
                Weight::Panels(Panels::of(half.numbers(bytemuck::cast_slice(data)), outputs, inputs))
            }
            Form::Int8 { outputs, inputs } => Weight::Int8(Int8::new(data, outputs, inputs)),
        }
    }
}
