//! Bringing an index up to date with its folder.

use super::prepare::{Batch, batches};
use super::{Entry, Found, IndexError, Scan, Skipped, Store};
use crate::clip::ImageEncoder;
use crate::models::clip::Inference;
use ndarray::Axis;
use std::collections::HashMap;

/// What an update did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// Pictures that were not there before.
    pub added: usize,
    /// Pictures that were there and are other ones now.
    pub changed: usize,
    /// Pictures that are no longer there.
    pub removed: usize,
    pub unchanged: usize,
    /// What could not be read, folders included.
    pub skipped: Vec<Skipped>,
}

/// Rows of the index, and what to do with them.
struct Plan<'a> {
    /// Pictures to embed, and whether each takes the place of another.
    todo: Vec<&'a Found>,
    is_change: Vec<bool>,
    drop: Vec<usize>,
    removed: usize,
    unchanged: usize,
}

/// Embeds what is new or changed, drops what has vanished. Every batch that is done stays done when the next is
/// interrupted. Size and time of change decide whether a picture is another one.
///
/// `progress(done, todo)` is called for each batch.
///
/// # Errors
/// If the index cannot be read or written. Pictures that cannot be read are skipped.
pub fn update(
    store: &mut Store,
    encoder: &ImageEncoder,
    scan: Scan,
    progress: impl Fn(usize, usize),
) -> Result<Update, IndexError> {
    let plan = Plan::new(&scan, store.entries()?);
    let (mut added, mut changed) = (0, 0);
    let mut skipped = scan.skipped.clone();
    // What changed is wrong from now on, even if its new row should never come.
    store.drop_rows(plan.drop)?;

    let mut buffers = Inference::default();
    let mut done = 0;
    progress(done, plan.todo.len());
    batches(&plan.todo, encoder.preprocess(), |batch: &Batch| {
        skipped.extend(batch.skipped.iter().cloned());
        done += batch.read.len() + batch.skipped.len();
        progress(done, plan.todo.len());
        if batch.read.is_empty() {
            return Ok(());
        }
        let embeddings = encoder.encode_prepared(batch.images(), &mut buffers);
        let is_finite = |row: usize| embeddings.row(row).iter().all(|x| x.is_finite());
        let (good, bad): (Vec<usize>, Vec<usize>) = (0..batch.read.len()).partition(|&row| is_finite(row));
        let found = |row: &usize| plan.todo[batch.read[*row]];
        let entries: Vec<Entry> = good.iter().map(|row| found(row).entry.clone()).collect();
        if !good.is_empty() {
            store.append(&entries, embeddings.select(Axis(0), &good).view())?;
        }
        let replaced = good.iter().filter(|&&row| plan.is_change[batch.read[row]]).count();
        (changed, added) = (changed + replaced, added + good.len() - replaced);
        let reason = "its embedding is not a number";
        skipped.extend(bad.iter().map(|row| Skipped { path: found(row).file.clone(), reason: reason.into() }));
        Ok(())
    })?;
    store.compact()?;
    Ok(Update { added, changed, removed: plan.removed, unchanged: plan.unchanged, skipped })
}

impl<'a> Plan<'a> {
    fn new(scan: &'a Scan, entries: Vec<(usize, Entry)>) -> Self {
        let mut plan = Plan { todo: vec![], is_change: vec![], drop: vec![], removed: 0, unchanged: 0 };
        let mut known: HashMap<String, (usize, Entry)> = HashMap::with_capacity(entries.len());
        for (row, entry) in entries {
            let earlier = known.insert(entry.path.clone(), (row, entry));
            plan.drop.extend(earlier.map(|(row, _)| row));
        }
        for found in &scan.found {
            match known.remove(&found.entry.path) {
                Some((_, entry)) if entry == found.entry => plan.unchanged += 1,
                earlier => {
                    plan.todo.push(found);
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
