//! The files of an index beside its manifest.

/// The files of an index beside the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    /// The embeddings.
    Matrix,
    /// The table of entries.
    Entries,
    /// The embeddings in eight bits, as [`kernels::codes`] rounds them.
    Codes,
    /// Where the line of each row begins in the table of entries.
    Lines,
    /// The digest of each picture's file, or zeros where nobody has computed it.
    Digests,
}

impl Data {
    /// All files: those of an index without codes, the codes and lines, then the digests.
    pub(crate) const ALL: [Data; 5] = [Data::Matrix, Data::Entries, Data::Codes, Data::Lines, Data::Digests];

    /// Returns what stands before and behind the generation in the file's name.
    pub(crate) fn name(self) -> (&'static str, &'static str) {
        match self {
            Data::Matrix => ("embeddings-", ".f16"),
            Data::Entries => ("entries-", ".jsonl"),
            Data::Codes => ("codes-", ".i8"),
            Data::Lines => ("lines-", ".u64"),
            Data::Digests => ("digests-", ".u128"),
        }
    }
}

/// The files that are made of the others.
pub(crate) const DERIVED: [Data; 2] = [Data::Codes, Data::Lines];
