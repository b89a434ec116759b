//! The one thread that asks the model, for all connections.

use super::metrics::Metrics;
use super::model::Model;
use super::queue::{Job, Queue, Work};
use super::reply::Fault;
use crate::embed::{Clip, Family};
use crate::pictures::Picture;
use ndarray::{Array2, Axis, Slice};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Does what waits in the queue, until it is closed.
pub(super) fn work(model: &Model, queue: &Queue, patience: Duration, metrics: &Metrics) {
    let family = model.family();
    let most = |is_texts| if is_texts { family.texts_at_a_time() } else { family.pictures_at_a_time() };
    while let Some(jobs) = queue.take(patience, most) {
        metrics.passed(kind(&jobs), jobs.iter().map(|job| job.work.len()).sum());
        pass(family, jobs);
    }
}

fn kind(jobs: &[Job]) -> &'static str {
    if matches!(jobs[0].work, Work::Texts(_)) { "text" } else { "image" }
}

/// Embeds what jobs of one kind ask for, all in one pass, and hands each its rows.
fn pass(family: &Family<Clip>, mut jobs: Vec<Job>) {
    let (mut texts, mut pictures) = (vec![], vec![]);
    let sizes: Vec<usize> = jobs.iter().map(|job| job.work.len()).collect();
    for job in &mut jobs {
        match &mut job.work {
            Work::Texts(more) => texts.append(more),
            Work::Pictures(more) => pictures.append(more),
        }
    }
    let rows = catch_unwind(AssertUnwindSafe(|| rows(family, &texts, &pictures)));
    let mut start = 0;
    for (job, size) in jobs.into_iter().zip(sizes) {
        let own = match &rows {
            Ok(rows) => Ok(rows.slice_axis(Axis(0), Slice::from(start..start + size)).to_owned()),
            Err(_) => Err(Fault::internal("the model failed")),
        };
        start += size;
        // Whoever asked may be gone.
        let _ = job.reply.send(own);
    }
}

/// Embeds texts, or pictures.
fn rows(family: &Family<Clip>, texts: &[String], pictures: &[Picture]) -> Array2<f32> {
    if texts.is_empty() { family.encode_image(pictures) } else { family.encode_text(texts) }
}
