//! `clipwright index`: makes a folder of pictures searchable.

use super::index_parts::Parts;
use super::pictures::{Exclude, ReadingOptions, Tally};
use super::{CliError, Context};
use crate::counted::counted;
use crate::files::serialize_name;
use crate::index::{FOLDER, IndexError, Manifest, ModelId, Scan, Skipped, Store, Update, update, update_from};
use crate::pictures::PathPattern;
use crate::pictures::folder::PassedOver;
use clap::Args;
use indicatif::ProgressBar;
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// Largest number of reasons that the text output gives for skipped files.
const MAX_REASONS: usize = 10;
/// Largest number of skipped files that it names for each reason.
const MAX_NAMED: usize = 5;

/// Make a folder of pictures searchable, or update its index
///
/// Only new and changed pictures are embedded; one that was moved or renamed is recognised by its bytes. Names that
/// begin with a dot are left out, and so are folders that programs leave beside pictures, such as @eaDir. The command can
/// be interrupted and run again at any time. An index remembers its model, how pictures are read and what is left out:
/// --model, --exif, --fast-decode and --exclude are needed the first time only. Later, --exclude takes the place of all
/// patterns before, and pictures that it leaves out are removed.
///
/// Pictures that cannot be read are named and left out. The others are indexed nevertheless, and the exit code is then
/// 1 unless --skip-unreadable is given.
#[derive(Debug, Args)]
pub struct Index {
    /// Folder of pictures; folders below it are included
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Folder for the index [default: DIR/.clip-index]
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Take the embeddings from a folder of parts that `embed --shard` has written, instead of making them
    ///
    /// The index is then one of the pictures in the parts, and the same as one made here. All parts must be there.
    /// Their pictures lie in DIR, and their paths start from the current folder, as they did for `embed`; they are not
    /// looked at. `index DIR` later embeds what has changed since.
    #[arg(long, value_name = "PARTS", conflicts_with_all = ["exif", "fast_decode", "exclude", "exclude_nothing"])]
    from: Option<PathBuf>,
    #[command(flatten)]
    exclude: Exclude,
    /// Forget the patterns of earlier updates
    #[arg(long, conflicts_with = "exclude")]
    exclude_nothing: bool,
    #[command(flatten)]
    reading: ReadingOptions,
    /// Exit with code 0 even if some of the pictures cannot be read
    #[arg(long)]
    skip_unreadable: bool,
}

impl Index {
    pub(crate) fn run(self, context: &Context) -> Result<(), CliError> {
        if let Some(parts) = &self.from {
            context.refuse_model("--from takes embeddings that are made already, and their model with them")?;
            return self.merge(context, &Parts::open(parts)?);
        }
        let (index, root) = self.place()?;
        let known = self.known(&index)?;
        let exclude = self.excluded(known.as_ref());
        let scan = Scan::of(&self.folder, &exclude)?;
        if let Some(manifest) = &known {
            self.reading.or_of_index(manifest, &index)?;
        }
        if scan.found.is_empty() && scan.skipped.is_empty() {
            return Err(CliError::NoPictures { path: self.folder, passed_over: scan.passed_over });
        }
        let opened = match &known {
            Some(manifest) => context.open_for(&manifest.model)?,
            None => context.open_either()?,
        };
        let model = ModelId::of(&opened)?;
        // The model is checked before its weights are read.
        known.map_or(Ok(()), |manifest| manifest.check_model(&index, &model))?;
        let encoder = opened.image_encoder()?;
        let mut store = Store::open(&index, &root, model, encoder.embed_dim())?;
        store.set_reading(self.reading.reading())?;
        store.set_exclude(exclude)?;
        let bar = context.output.progress(scan.found.len(), "pictures");
        let outcome = update(&mut store, &encoder, &scan, moves(&bar));
        bar.finish_and_clear();
        self.report(context, index, &store, outcome?)
    }

    /// Returns what is left out: what the command line says or, if it says nothing, what the index remembers. Whoever
    /// updates an index once more, perhaps every night, means the same pictures as before.
    fn excluded(&self, known: Option<&Manifest>) -> Vec<PathPattern> {
        match known {
            Some(manifest) if self.exclude.exclude.is_empty() && !self.exclude_nothing => manifest.exclude.clone(),
            _ => self.exclude.exclude.clone(),
        }
    }

    /// Makes the index one of the pictures in parts, without embedding any.
    fn merge(&self, context: &Context, parts: &Parts) -> Result<(), CliError> {
        let file = |source| CliError::File { path: self.folder.clone(), source };
        self.folder.read_dir().map_err(file)?;
        let (index, root) = self.place()?;
        if let Some(manifest) = self.known(&index)? {
            manifest.check_model(&index, parts.model())?;
            let (theirs, ours) = (manifest.reading(), parts.reading());
            let other = [
                ("--exif", theirs.exif != ours.exif),
                ("--fast-decode", theirs.fast_decode != ours.fast_decode),
                ("width", manifest.embed_dim != parts.width()),
            ];
            if let Some((what, _)) = other.iter().find(|(_, is_other)| *is_other) {
                return Err(CliError::OtherFolder { path: index, what: (*what).into() });
            }
        }
        let (scan, rows) = parts.scan(&self.folder)?;
        let mut store = Store::open(&index, &root, parts.model().clone(), parts.width())?;
        store.set_reading(parts.reading())?;
        let bar = context.output.progress(scan.found.len(), "pictures");
        let outcome = update_from(&mut store, &scan, moves(&bar), |todo, each| {
            parts.stream(&todo.iter().map(|&place| rows[place]).collect::<Vec<_>>(), each)
        });
        bar.finish_and_clear();
        self.report(context, index, &store, outcome?)
    }

    /// Reads the manifest of the index, if it exists already.
    fn known(&self, index: &Path) -> Result<Option<Manifest>, CliError> {
        match Manifest::read(index) {
            Err(IndexError::None { .. }) => Ok(None),
            manifest => {
                let manifest = manifest?;
                check_root(index, &manifest, &self.folder)?;
                Ok(Some(manifest))
            }
        }
    }

    fn report(&self, context: &Context, index: PathBuf, store: &Store, update: Update) -> Result<(), CliError> {
        let Update { added, changed, moved, removed, unchanged, skipped, passed_over } = update;
        let pictures = store.manifest().live();
        let tally = Tally { seen: added + changed + moved + unchanged + skipped.len(), bad: skipped.len() };
        let report = Report { index, pictures, added, changed, moved, removed, unchanged, skipped, passed_over };
        context.output.show(&report)?;
        tally.verdict(self.skip_unreadable)
    }

    /// Returns the folder of the index and the path by which it refers to the pictures. An index inside their folder
    /// uses a relative path, so that both can be moved together.
    fn place(&self) -> Result<(PathBuf, String), CliError> {
        let Some(output) = &self.output else { return Ok((self.folder.join(FOLDER), "..".into())) };
        let file = |source| CliError::File { path: self.folder.clone(), source };
        let root = self.folder.canonicalize().map_err(file)?.into_os_string().into_string();
        Ok((output.clone(), root.map_err(|path| IndexError::Name { path: path.into() })?))
    }
}

/// Returns the hook that moves a progress bar along.
fn moves(bar: &ProgressBar) -> impl Fn(usize, usize) {
    |done, todo| {
        bar.set_length(todo as u64);
        bar.set_position(done as u64);
    }
}

/// Checks that the index is one of this folder. In the index of another folder, all pictures would count as new and all
/// old ones as removed.
fn check_root(index: &Path, manifest: &Manifest, folder: &Path) -> Result<(), CliError> {
    let root = manifest.root(index).canonicalize();
    let folder = folder.canonicalize().map_err(|source| CliError::File { path: folder.into(), source })?;
    match root {
        Ok(root) if root == folder => Ok(()),
        _ => Err(IndexError::OtherPictures { path: index.into(), theirs: manifest.root.clone(), ours: folder }.into()),
    }
}

#[derive(Serialize)]
struct Report {
    #[serde(serialize_with = "serialize_name")]
    index: PathBuf,
    /// Number of pictures that can be found now.
    pictures: usize,
    added: usize,
    changed: usize,
    moved: usize,
    removed: usize,
    unchanged: usize,
    skipped: Vec<Skipped>,
    passed_over: PassedOver,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Report { index, pictures, added, changed, moved, removed, unchanged, skipped, passed_over } = self;
        write!(f, "{}: {}: ", index.display(), counted(*pictures, "picture"))?;
        write!(f, "{added} added, {changed} changed, {moved} moved, {removed} removed, {unchanged} as they were")?;
        if !passed_over.is_empty() {
            write!(f, "\n{passed_over}")?;
        }
        if skipped.is_empty() { Ok(()) } else { write_skipped(f, skipped) }
    }
}

/// Writes how many files were skipped for each reason, the most frequent first, and the first names for each.
fn write_skipped(f: &mut fmt::Formatter, skipped: &[Skipped]) -> fmt::Result {
    let mut by_reason: BTreeMap<&str, Vec<&Path>> = BTreeMap::new();
    skipped.iter().for_each(|skipped| by_reason.entry(&skipped.reason).or_default().push(&skipped.path));
    let mut by_reason: Vec<_> = by_reason.into_iter().collect();
    by_reason.sort_by_key(|(_, paths)| Reverse(paths.len()));
    write!(f, "\n{} could not be read:", skipped.len())?;
    for (reason, paths) in by_reason.iter().take(MAX_REASONS) {
        write!(f, "\n  {}: {reason}", paths.len())?;
        paths.iter().take(MAX_NAMED).try_for_each(|path| write!(f, "\n    {}", path.display()))?;
        if paths.len() > MAX_NAMED {
            write!(f, "\n    … and {} more; all of them with --json", paths.len() - MAX_NAMED)?;
        }
    }
    match by_reason.iter().skip(MAX_REASONS).map(|(_, paths)| paths.len()).sum() {
        0 => Ok(()),
        more => write!(f, "\n  … and {more} more, for other reasons; all of them with --json"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_files_are_counted_by_reason_and_the_first_are_named() {
        let skip = |i: usize, reason: String| Skipped { path: format!("{i}.png").into(), reason };
        let torn = (0..7).map(|i| skip(i, "torn".into()));
        let others = (7..19).map(|i| skip(i, format!("reason {}", 10 + i)));
        let (index, passed_over) = (PathBuf::from("i"), PassedOver::default());
        let skipped = torn.chain(others).collect();
        let report = Report {
            index,
            pictures: 1,
            added: 1,
            changed: 0,
            moved: 0,
            removed: 0,
            unchanged: 0,
            skipped,
            passed_over,
        };
        let said = report.to_string();
        let start = "i: 1 picture: 1 added, 0 changed, 0 moved, 0 removed, 0 as they were\n19 could not be read:\n  7: \
                     torn\n    \
                     0.png\n    1.png\n    2.png\n    3.png\n    4.png\n    … and 2 more; all of them with --json\n  1: \
                     reason 17\n    7.png\n";
        assert!(said.starts_with(start), "{said}");
        assert!(said.ends_with("\n  … and 3 more, for other reasons; all of them with --json"), "{said}");
    }
}
