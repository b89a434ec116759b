//! Batches of tokenized captions.

/// A batch of captions, end to end without padding: caption i is `ids[offsets[i]..offsets[i + 1]]`, from its
/// first token to its last.
#[derive(Clone, Copy, Debug)]
pub struct Captions<'a> {
    /// The tokens of all captions, end to end.
    pub ids: &'a [u32],
    /// The position in `ids` at which each caption starts, and behind these the position at which the last one ends.
    pub offsets: &'a [usize],
}

impl<'a> Captions<'a> {
    /// Returns the number of captions.
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Whether there are no captions.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the captions of `range`; their offsets still count from the first token of the whole batch.
    pub fn slice(&self, range: std::ops::Range<usize>) -> Captions<'a> {
        Captions { ids: self.ids, offsets: &self.offsets[range.start..=range.end] }
    }

    /// Returns the tokens of one caption.
    pub(crate) fn of(&self, i: usize) -> &'a [u32] {
        &self.ids[self.offsets[i]..self.offsets[i + 1]]
    }

    /// Returns the tokens of these captions alone.
    pub(crate) fn own_ids(&self) -> &'a [u32] {
        match (self.offsets.first(), self.offsets.last()) {
            (Some(&first), Some(&last)) => &self.ids[first..last],
            _ => &[],
        }
    }

    /// Returns the offsets into [`Captions::own_ids`], which start at 0.
    pub(crate) fn own_offsets(&self) -> impl Iterator<Item = usize> + 'a {
        let first = self.offsets.first().copied().unwrap_or(0);
        self.offsets.iter().map(move |offset| offset - first)
    }
}

/// The tokens of texts, end to end, for [`Captions`] to view.
#[derive(Debug, Default)]
pub(crate) struct Packed {
    ids: Vec<u32>,
    offsets: Vec<usize>,
}

impl Packed {
    /// Packs texts, each of which is a list of tokens.
    pub(crate) fn new(texts: impl IntoIterator<Item = impl AsRef<[u32]>>) -> Self {
        let mut packed = Packed { ids: vec![], offsets: vec![0] };
        for text in texts {
            packed.ids.extend(text.as_ref());
            packed.offsets.push(packed.ids.len());
        }
        packed
    }

    /// Replaces the texts by others: each is `first`, then what is given of it. Buffers are reused.
    pub(crate) fn fill<'a>(&mut self, first: u32, rests: impl IntoIterator<Item = &'a [u32]>) {
        self.ids.clear();
        self.offsets.clear();
        self.offsets.push(0);
        for rest in rests {
            self.ids.push(first);
            self.ids.extend(rest);
            self.offsets.push(self.ids.len());
        }
    }

    /// Views the texts.
    pub(crate) fn captions(&self) -> Captions<'_> {
        Captions { ids: &self.ids, offsets: &self.offsets }
    }
}
