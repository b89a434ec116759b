//! The update of an index to the current content of its folder.

use super::moved::{Kept, keep_rows};
use super::{Entry, Found, IndexError, Scan, Skipped, Store};
use crate::digest::Digest;
use crate::embed::source::{Hashed, ReadAs};
use crate::embed::{Batch, Family, ImageEncoder};
use crate::pictures::folder::PassedOver;
use ndarray::Axis;
use std::collections::HashMap;

/// The outcome of an update.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// Number of pictures that were not in the index before.
    pub added: usize,
    /// Number of pictures whose file has changed since they were embedded.
    pub changed: usize,
    /// Number of pictures that were in the index under another path, and were not embedded again.
    pub moved: usize,
    /// Number of pictures that were in the index and no longer exist.
    pub removed: usize,
    /// Number of pictures that were in the index and have not changed.
    pub unchanged: usize,
    /// The files and folders that could not be used.
    pub skipped: Vec<Skipped>,
    /// The files that are no pictures.
    pub passed_over: PassedOver,
}

/// The work of an update: pictures to embed and rows to drop.
struct Plan {
    /// The places of the pictures to embed among those that were found.
    todo: Vec<usize>,
    /// For each of them, whether an older version of it is in the index.
    is_change: Vec<bool>,
    drop: Vec<usize>,
    removed: usize,
    unchanged: usize,
}

/// Embeds new and changed pictures and drops those that no longer exist. A picture has changed if its size or its time
/// of change has. Pictures that were moved, and copies, take the embedding that is there. Finished batches stay in the
/// index if a later one is interrupted.
///
/// `progress(done, todo)` is called at the start and after each batch.
///
/// # Errors
/// Returns an error if the index cannot be read or written. Pictures that cannot be read are skipped.
pub fn update<C: AsRef<ImageEncoder>>(
    store: &mut Store,
    encoder: &Family<C>,
    scan: &Scan,
    progress: impl Fn(usize, usize),
) -> Result<Update, IndexError> {
    let reading = store.manifest().reading();
    let Kept { moved, copied, replaced } = keep_rows(store, scan, &progress)?;
    let mut update = update_from(store, scan, progress, |todo, each| {
        let files: Vec<&Found> = todo.iter().map(|&place| &scan.found[place]).collect();
        encoder.stream(&ReadAs { source: &Hashed(&files), reading }, each).map(drop)
    })?;
    // For what comes behind, they were there as they are.
    update.unchanged -= moved + copied + replaced;
    update.moved = moved;
    update.added += copied;
    update.changed += replaced;
    Ok(update)
}

/// Does the same with embeddings from elsewhere: `stream(todo, each)` passes those of the pictures that were found at
/// the places `todo` to `each`, batch by batch, in order. A batch counts positions in `todo`; its notes are the digests
/// of the files, where they are known. No file is looked at.
///
/// # Errors
/// Returns the error of `stream`, or an error if the index cannot be read or written.
pub fn update_from<N: Into<Option<Digest>>, E: From<IndexError>>(
    store: &mut Store,
    scan: &Scan,
    progress: impl Fn(usize, usize),
    stream: impl FnOnce(&[usize], &mut dyn FnMut(Batch<N>) -> Result<(), E>) -> Result<(), E>,
) -> Result<Update, E> {
    let mut plan = Plan::new(scan, store.entries()?);
    // Rows of changed pictures are wrong from now on, even if the new ones are never written.
    store.drop_rows(std::mem::take(&mut plan.drop))?;
    let todo = plan.todo.len();
    let update = Update {
        removed: plan.removed,
        unchanged: plan.unchanged,
        skipped: scan.skipped.clone(),
        passed_over: scan.passed_over.clone(),
        ..Update::default()
    };
    let mut run = Run { store, scan, plan: &plan, update };
    progress(0, todo);
    stream(&plan.todo, &mut |batch| {
        let done = batch.report.seen as usize;
        run.take(batch)?;
        progress(done, todo);
        Ok(())
    })?;
    run.store.compact()?;
    Ok(run.update)
}

/// The state of an update from batch to batch.
struct Run<'a> {
    store: &'a mut Store,
    scan: &'a Scan,
    plan: &'a Plan,
    update: Update,
}

impl Run<'_> {
    fn take<N: Into<Option<Digest>>>(&mut self, batch: Batch<N>) -> Result<(), IndexError> {
        let found = |i: usize| &self.scan.found[self.plan.todo[i]];
        let skip = |i: usize, reason: String| Skipped { path: found(i).file.clone(), reason };
        self.update.skipped.extend(batch.bad.into_iter().map(|(i, bad)| skip(i, bad.reason)));
        let (mut good, mut entries, mut digests) = (vec![], vec![], vec![]);
        for (row, (i, digest)) in batch.read.into_iter().enumerate() {
            if batch.rows.row(row).iter().all(|x| x.is_finite()) {
                good.push(row);
                entries.push(found(i).entry.clone());
                digests.push(digest.into());
                let count = if self.plan.is_change[i] { &mut self.update.changed } else { &mut self.update.added };
                *count += 1;
            } else {
                self.update.skipped.push(skip(i, "its embedding is not a number".into()));
            }
        }
        let rows = batch.rows.select(Axis(0), &good);
        if good.is_empty() { Ok(()) } else { self.store.append_known(&entries, &digests, rows.view()) }
    }
}

impl Plan {
    fn new(scan: &Scan, entries: Vec<(usize, Entry)>) -> Self {
        let mut plan = Plan { todo: vec![], is_change: vec![], drop: vec![], removed: 0, unchanged: 0 };
        let mut known: HashMap<String, (usize, Entry)> = HashMap::with_capacity(entries.len());
        for (row, entry) in entries {
            let earlier = known.insert(entry.path.clone(), (row, entry));
            plan.drop.extend(earlier.map(|(row, _)| row));
        }
        for (place, found) in scan.found.iter().enumerate() {
            match known.remove(&found.entry.path) {
                Some((_, entry)) if entry == found.entry => plan.unchanged += 1,
                earlier => {
                    plan.todo.push(place);
                    plan.is_change.push(earlier.is_some());
                    plan.drop.extend(earlier.map(|(row, _)| row));
                }
            }
        }
        let gone = known.into_values().filter(|(_, entry)| !scan.is_unknown(&entry.path)).map(|(row, _)| row);
        let before = plan.drop.len();
        plan.drop.extend(gone);
        plan.removed = plan.drop.len() - before;
        plan
    }
}
