//! Reads weights as inference keeps them, leaf by leaf: those of 16 bits are never all in memory in 32.

use super::places::{Place, Places, described};
use super::tensors::TensorFiles;
use super::{CheckpointError, Dtype, dtype};
use crate::params::{Layout, Params, Spec, view_mut};
use crate::tree::{Path, Tree};
use crate::weights::{self, Balance, Bits, Half, Rounding, Stored, Weights};
use kernels::gemm::int8::Parts;

impl From<Half> for Dtype {
    fn from(half: Half) -> Dtype {
        match half {
            Half::F16 => Dtype::F16,
            Half::Bf16 => Dtype::Bf16,
        }
    }
}

/// How many matrices there are, and how many of them rounding changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    pub matrices: usize,
    pub changed: usize,
}

/// The leaves of a tree of weights: their names and where files have them.
struct Leaves<'a> {
    files: &'a TensorFiles,
    leaves: Vec<(String, Spec, Places)>,
    /// To what each has been rounded in the files.
    bits: Vec<Bits>,
    rounding: Rounding,
}

impl<'a> Leaves<'a> {
    fn new<S: Tree<Leaf = Spec>>(files: &'a TensorFiles, spec: &S, places: &S::Of<Places>, rounding: Rounding) -> Self {
        let leaves = described(spec, places, &Path::ROOT);
        let bits = leaves.iter().map(|(_, _, places)| files.bits(places)).collect();
        Leaves { files, leaves, bits, rounding }
    }

    fn any(&self, test: impl Fn(Bits) -> bool) -> bool {
        self.bits.iter().any(|&bits| test(bits))
    }
}

impl weights::Leaves for Leaves<'_> {
    type Error = CheckpointError;

    fn stored(&self, i: usize) -> Bits {
        self.bits[i]
    }

    fn read(&self, i: usize, out: &mut [f32]) -> Result<(), CheckpointError> {
        let (name, spec, places) = &self.leaves[i];
        self.files.fill(name, places, &spec.shape, out)?;
        self.files.check_size(name, self.rounding.half(spec), 0, out)
    }

    fn parts(&self, i: usize) -> Result<Parts, CheckpointError> {
        let (name, spec, places) = &self.leaves[i];
        match &places[..] {
            [Place::Whole(name)] => self.files.read_int8(name, &spec.shape),
            _ => Err(self.files.missing(name)),
        }
    }
}

impl TensorFiles {
    /// Reads a tree of weights from its places.
    ///
    /// # Errors
    /// Returns an error under the same conditions as [`load`](Self::load), and one that names the tensor if a value is
    /// too large for what it is to be rounded to.
    pub(crate) fn load_weights<S: Tree<Leaf = Spec>>(
        &self,
        spec: S,
        places: &S::Of<Places>,
        rounding: Rounding,
    ) -> Result<Weights<S::Of<Stored>>, CheckpointError>
    where
        for<'a> S::Of<&'a mut [f32]>: Balance<S>,
    {
        let mut leaves = Leaves::new(self, &spec, places, rounding);
        match rounding {
            Rounding::Half(_) => {}
            Rounding::Stored if leaves.any(|bits| bits != Bits::All) => {}
            // What the file has in 32 bits is not to be rounded.
            Rounding::Int8 if leaves.any(|bits| bits == Bits::Int8) => leaves.rounding = Rounding::Stored,
            _ => return Ok(self.load(spec, places)?.into_rounded(rounding)),
        }
        Weights::read_by_leaves(&spec, leaves.rounding, &leaves)
    }

    /// Makes room for one of these trees of weights at a time: for leaves of 32 bits, or of eight where all are stored so
    /// and stay so.
    pub(crate) fn room_for<S: Tree<Leaf = Spec>>(
        &self,
        spec: &S,
        places: &[S::Of<Places>],
        rounding: Rounding,
    ) -> Weights<S::Of<Stored>> {
        let bits: Vec<_> = places.iter().map(|places| Leaves::new(self, spec, places, rounding).bits).collect();
        let all_int8 = |i: usize| bits.iter().all(|bits| rounding.bits(bits[i]) == Bits::Int8);
        Weights::room(spec, |i| if all_int8(i) { Bits::Int8 } else { Bits::All })
    }

    /// Reads weights into their [room](Self::room_for), in place of others. Those of 16 bits, or that are rounded to as
    /// many, are widened: the results have the same bits.
    ///
    /// # Errors
    /// Returns an error under the same conditions as [`load_weights`](Self::load_weights).
    pub(crate) fn load_weights_into<S: Tree<Leaf = Spec>>(
        &self,
        weights: &mut Weights<S::Of<Stored>>,
        spec: &S,
        places: &S::Of<Places>,
        rounding: Rounding,
    ) -> Result<(), CheckpointError> {
        weights.read_again(spec, rounding, &Leaves::new(self, spec, places, rounding))
    }

    /// Rounds parameters that have been read, as [`load_weights`](Self::load_weights) does.
    ///
    /// # Errors
    /// Returns an error that names the tensor if a value is too large.
    pub(crate) fn round<S: Tree<Leaf = Spec>>(
        &self,
        params: &mut Params<S>,
        rounding: Rounding,
    ) -> Result<(), CheckpointError> {
        for (names, spec, values) in params.named_mut(&Path::ROOT) {
            let half = rounding.half(&spec);
            self.check_size(&names[0], half, 0, values)?;
            half.iter().for_each(|half| half.round_in_place(values));
        }
        Ok(())
    }

    /// Counts the matrices of a tree, and those of them of which rounding to 16 bits changes a number.
    ///
    /// # Errors
    /// Returns an error under the same conditions as [`load_weights`](Self::load_weights).
    pub(crate) fn count_changed<S: Tree<Leaf = Spec>>(
        &self,
        spec: &S,
        places: &S::Of<Places>,
        half: Half,
    ) -> Result<Changed, CheckpointError> {
        let (mut count, mut values) = (Changed::default(), vec![]);
        for (name, spec, places) in Leaves::new(self, spec, places, Rounding::Half(half)).leaves {
            if Rounding::Half(half).half(&spec).is_none() {
                continue;
            }
            values.resize(spec.size(), 0.0);
            self.fill(&name, &places, &spec.shape, &mut values)?;
            self.check_size(&name, Some(half), 0, &values)?;
            count.matrices += 1;
            count.changed += usize::from(half.changes(&values));
        }
        Ok(count)
    }

    /// Counts the matrices of a tree that may be rounded to eight bits, and those of them that are.
    ///
    /// # Errors
    /// Returns an error under the same conditions as [`load`](Self::load).
    pub(crate) fn count_rounded<S: Tree<Leaf = Spec>>(
        &self,
        spec: S,
        places: &S::Of<Places>,
    ) -> Result<Changed, CheckpointError>
    where
        for<'a> S::Of<&'a mut [f32]>: Balance<S>,
    {
        let mut params = self.load(spec, places)?;
        let count = |spec: &S| {
            let mut count = 0;
            spec.map(&Path::ROOT, &mut |_, spec| count += usize::from(spec.layout == Layout::Linear { rounds: true }));
            count
        };
        let matrices = count(&params.spec);
        view_mut(&params.spec, &mut params.flat).balance(&mut params.spec);
        Ok(Changed { matrices, changed: count(&params.spec) })
    }

    /// Refuses values that would become infinite. `first` is the place of the first of them in the tensor.
    pub(super) fn check_size(
        &self,
        tensor: &str,
        half: Option<Half>,
        first: usize,
        values: &[f32],
    ) -> Result<(), CheckpointError> {
        let Some(dtype) = half.map(Dtype::from) else { return Ok(()) };
        let Some(index) = dtype.first_too_large(values) else { return Ok(()) };
        let (path, tensor, value) = (self.path().into(), tensor.into(), values[index]);
        Err(CheckpointError::TooLarge { path, tensor, index: first + index, value, dtype })
    }

    /// Returns to what the tensors of a leaf have been rounded, if all in the same way.
    fn bits(&self, places: &Places) -> Bits {
        if let [Place::Whole(name)] = &places[..]
            && self.is_int8(name)
        {
            return Bits::Int8;
        }
        let mut types = places.iter().flat_map(|place| place.names()).filter_map(|name| self.dtype(name));
        let first = types.next();
        let bits = match first {
            Some(dtype::Stored::Known(Dtype::F16)) => Bits::Half(Half::F16),
            Some(dtype::Stored::Known(Dtype::Bf16)) => Bits::Half(Half::Bf16),
            _ => return Bits::All,
        };
        if types.all(|other| Some(other) == first) { bits } else { Bits::All }
    }
}
