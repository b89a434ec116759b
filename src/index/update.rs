//! Bringing an index up to date with its folder.

use super::{Entry, Found, IndexError, Scan, Skipped, Store};
use crate::embed::source::Files;
use crate::embed::{Batch, ImageEncoder};
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
    let mut plan = Plan::new(&scan, store.entries()?);
    // What changed is wrong from now on, even if its new row should never come.
    store.drop_rows(std::mem::take(&mut plan.drop))?;
    let todo = plan.todo.len();
    let update =
        Update { removed: plan.removed, unchanged: plan.unchanged, skipped: scan.skipped.clone(), ..Update::default() };
    let mut run = Run { store, plan: &plan, update };
    progress(0, todo);
    encoder.stream(&Files(&plan.todo), |batch| {
        let done = batch.report.seen as usize;
        run.take(batch)?;
        progress(done, todo);
        Ok::<_, IndexError>(())
    })?;
    run.store.compact()?;
    Ok(run.update)
}

/// What goes from batch to batch.
struct Run<'a> {
    store: &'a mut Store,
    plan: &'a Plan<'a>,
    update: Update,
}

impl Run<'_> {
    fn take(&mut self, batch: Batch<()>) -> Result<(), IndexError> {
        let todo = &self.plan.todo;
        let skip = |i: usize, reason: String| Skipped { path: todo[i].file.clone(), reason };
        self.update.skipped.extend(batch.bad.into_iter().map(|(i, bad)| skip(i, bad.reason)));
        let (mut good, mut entries) = (vec![], vec![]);
        for (row, &(i, ())) in batch.read.iter().enumerate() {
            if batch.rows.row(row).iter().all(|x| x.is_finite()) {
                good.push(row);
                entries.push(todo[i].entry.clone());
                let count = if self.plan.is_change[i] { &mut self.update.changed } else { &mut self.update.added };
                *count += 1;
            } else {
                self.update.skipped.push(skip(i, "its embedding is not a number".into()));
            }
        }
        if good.is_empty() { Ok(()) } else { self.store.append(&entries, batch.rows.select(Axis(0), &good).view()) }
    }
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
