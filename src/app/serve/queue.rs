//! The queue of what the model has to do, in which the requests of all connections wait.

use super::reply::Fault;
use crate::embed::Load;
use crate::pictures::Picture;
use ndarray::Array2;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// What a job is about.
pub(super) enum Work {
    Texts(Vec<String>),
    /// Pictures that are as small as the model sees them.
    Pictures(Vec<Picture>),
}

impl Work {
    /// Returns the number of texts or pictures.
    pub fn len(&self) -> usize {
        match self {
            Work::Texts(texts) => texts.len(),
            Work::Pictures(pictures) => pictures.len(),
        }
    }
}

/// Texts or pictures of one request that are embedded together.
pub(super) struct Job {
    pub work: Work,
    pub load: Load,
    /// Takes the embeddings. It is closed once nobody waits for them any more.
    pub reply: oneshot::Sender<Result<Array2<f32>, Fault>>,
}

impl Job {
    fn is_wanted(&self) -> bool {
        !self.reply.is_closed()
    }

    /// Returns the load of this job together with that of others, if they can share a pass.
    fn join(&self, others: Load, is_texts: bool, most: usize) -> Option<Load> {
        (matches!(self.work, Work::Texts(_)) == is_texts).then(|| others.join(self.load, most)).flatten()
    }
}

/// A queue with a bound.
pub(super) struct Queue {
    state: Mutex<Waiting>,
    changed: Condvar,
    /// The most texts and pictures that wait at a time.
    most: usize,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    is_closed: bool,
}

impl Waiting {
    fn waiting(&self) -> usize {
        self.jobs.iter().map(|job| job.work.len()).sum()
    }
}

impl Queue {
    pub fn new(most: usize) -> Self {
        Queue { state: Mutex::default(), changed: Condvar::new(), most }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().expect("no thread panics here")
    }

    /// Lets jobs wait, all of them or none.
    ///
    /// # Errors
    /// Returns a fault if too much is waiting already, or if it is more than may ever wait.
    pub fn push(&self, jobs: Vec<Job>) -> Result<(), Fault> {
        let mut state = self.lock();
        state.jobs.retain(Job::is_wanted);
        let (waiting, more) = (state.waiting(), jobs.iter().map(|job| job.work.len()).sum::<usize>());
        if more > self.most {
            return Err(Fault::invalid(format!("{more} texts and pictures, and --queue allows {}", self.most)));
        }
        if waiting + more > self.most {
            let message = "texts and pictures wait already (--queue); try again a little later";
            return Err(Fault::busy(format!("{waiting} {message}")));
        }
        state.jobs.extend(jobs);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Waits for jobs that can share a pass and takes them: the one that has waited longest, and what fits to it, in the
    /// order of arrival. At most `most(texts?)` texts or pictures are taken besides a job that has more.
    ///
    /// If nobody waited, whoever comes first does not wait for others. Otherwise those who have just been answered may be
    /// about to ask again, and up to `patience` is left to them until there is enough to do.
    ///
    /// Returns `None` once the queue is closed and empty.
    pub fn take(&self, patience: Duration, most: impl Fn(bool) -> usize) -> Option<Vec<Job>> {
        let mut state = self.lock();
        state.jobs.retain(Job::is_wanted);
        if !state.jobs.is_empty() {
            let deadline = Instant::now() + patience;
            let enough = state.jobs.front().map_or(0, |job| most(matches!(job.work, Work::Texts(_))));
            while !state.is_closed && state.waiting() < enough {
                let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                    break;
                };
                state = self.changed.wait_timeout(state, left).expect("no thread panics here").0;
            }
            state.jobs.retain(Job::is_wanted);
        }
        while state.jobs.is_empty() {
            if state.is_closed {
                return None;
            }
            state = self.changed.wait(state).expect("no thread panics here");
            state.jobs.retain(Job::is_wanted);
        }
        let first = state.jobs.pop_front().expect("a job");
        let is_texts = matches!(first.work, Work::Texts(_));
        let (most, mut load, mut taken) = (most(is_texts), first.load, vec![first]);
        let mut others = VecDeque::new();
        for job in state.jobs.drain(..) {
            match job.join(load, is_texts, most) {
                Some(together) => {
                    load = together;
                    taken.push(job);
                }
                None => others.push_back(job),
            }
        }
        state.jobs = others;
        Some(taken)
    }

    /// Returns how many texts and pictures wait.
    pub fn len(&self) -> usize {
        self.lock().waiting()
    }

    /// Ends the queue: what waits is still taken.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::StatusCode;
    use std::thread;

    type Reply = oneshot::Receiver<Result<Array2<f32>, Fault>>;

    /// A job of so many texts of 20 tokens.
    fn texts(n: usize) -> (Job, Reply) {
        let (reply, receiver) = oneshot::channel();
        let work = Work::Texts(vec!["a".into(); n]);
        (Job { work, load: Load { sequences: n, rows: 20 * n, is_steady: false }, reply }, receiver)
    }

    fn pictures(n: usize) -> (Job, Reply) {
        let (job, receiver) = texts(n);
        (Job { work: Work::Pictures(vec![Picture::default(); n]), ..job }, receiver)
    }

    fn sizes(queue: &Queue) -> Vec<usize> {
        let taken = queue.take(Duration::ZERO, |_| 128).unwrap();
        taken.iter().map(|job| job.work.len()).collect()
    }

    #[test]
    fn what_fits_together_is_taken_together_and_nobody_starves() {
        let queue = Queue::new(1000);
        let (jobs, _replies): (Vec<Job>, Vec<Reply>) =
            [texts(1), pictures(2), texts(2), texts(40), pictures(3), texts(100)].into_iter().unzip();
        queue.push(jobs).unwrap();
        assert_eq!(queue.len(), 148);
        assert_eq!(sizes(&queue), [1, 2]);
        assert_eq!(sizes(&queue), [2, 3]);
        assert_eq!(sizes(&queue), [40]);
        assert_eq!(sizes(&queue), [100]);
        queue.close();
        assert!(queue.take(Duration::ZERO, |_| 128).is_none());
    }

    #[test]
    fn what_nobody_waits_for_is_not_done_and_makes_room() {
        let queue = Queue::new(10);
        let ((first, gone), (second, _here)) = (texts(8), texts(9));
        queue.push(vec![first]).unwrap();
        let refused = queue.push(vec![texts(3).0]).unwrap_err();
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(queue.push(vec![texts(11).0]).unwrap_err().status, StatusCode::BAD_REQUEST);
        drop(gone);
        queue.push(vec![second]).unwrap();
        assert_eq!(sizes(&queue), [9]);
        assert!(queue.push(vec![texts(6).0, texts(6).0]).is_err());
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn an_idle_worker_does_not_wait_and_a_busy_one_does() {
        let queue = Queue::new(100);
        thread::scope(|scope| {
            let worker = scope.spawn(|| queue.take(Duration::from_secs(600), |_| 128).unwrap().len());
            thread::sleep(Duration::from_millis(20));
            let (job, _reply) = texts(1);
            queue.push(vec![job]).unwrap();
            assert_eq!(worker.join().unwrap(), 1);
            // The second comes while the worker waits for more.
            let ((first, _a), (second, _b)) = (texts(1), texts(1));
            queue.push(vec![first]).unwrap();
            let worker = scope.spawn(|| queue.take(Duration::from_secs(600), |_| 2).unwrap().len());
            thread::sleep(Duration::from_millis(20));
            queue.push(vec![second]).unwrap();
            assert_eq!(worker.join().unwrap(), 2);
        });
    }
}
