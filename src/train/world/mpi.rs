//! Ranks that are processes, on one machine or many, which MPI moves numbers between (feature `mpi`).
//!
//! MPI itself has no time-outs: if one rank does not come to an exchange, the others wait for ever. So every rank tells the
//! first one that it has come, and the first names who is missing. Who waits for the first rank in vain says so itself.
//!
//! An error of MPI, a rank that does not come, and whatever ends one rank alone end all of them: going on without a rank
//! would need its part of the state.

use super::{Element, World};
use crate::digest::digest;
use ferrompi::{Communicator, Source, Tag, ThreadLevel, scope};
use std::cell::Cell;
use std::fmt::Display;
use std::io::Write;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The tag of the message that a rank has come.
const HERE: i32 = 1;
/// How long the first rank waits before it says for whom.
const PATIENCE: Duration = Duration::from_secs(60);
/// How much longer others wait for the first rank than the first for them.
const GRACE: Duration = Duration::from_secs(10);
/// How long a look whether a rank has come is put off at most.
const PAUSE: Duration = Duration::from_micros(100);
/// How long a launcher gets to pass on why a rank ends all.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// One rank of the world that `mpirun` or `srun` has started.
#[derive(Clone)]
pub struct Mpi(Rc<Process>);

struct Process {
    world: Communicator,
    // Ends MPI when it is dropped, after the communicator.
    _mpi: ferrompi::Mpi,
    host: String,
    threads: usize,
    timeout: Duration,
    /// How often the ranks have met.
    meetings: Cell<u64>,
    waited: Cell<Duration>,
    clock: Arc<Clock>,
}

/// Since when this rank has waited for others.
struct Clock {
    started: Instant,
    /// Milliseconds since the start, plus one; 0 while it does not wait.
    waiting_since: AtomicU64,
}

impl Mpi {
    /// Joins the `ranks` processes that a launcher says it has started. They wait for each other `timeout` long at most.
    ///
    /// Call it once, on the thread that is to exchange.
    ///
    /// # Errors
    /// Returns an error if MPI cannot be started, or knows another number of processes than the launcher: that is so if the
    /// program was built with one MPI and is started by another.
    pub fn join(ranks: usize, timeout: Duration) -> Result<Self, String> {
        let mpi = ferrompi::Mpi::init_thread(ThreadLevel::Funneled).map_err(|error| error.to_string())?;
        let world = mpi.world();
        if world.size() as usize != ranks {
            let size = world.size();
            return Err(format!(
                "the launcher has started {ranks} processes, and MPI knows {size}: they are of two kinds"
            ));
        }
        let host = world.processor_name().map_err(|error| error.to_string())?;
        let threads = threads(&world).map_err(|error| error.to_string())?;
        let clock = Arc::new(Clock { started: Instant::now(), waiting_since: AtomicU64::new(0) });
        let joined = Mpi(Rc::new(Process {
            world,
            _mpi: mpi,
            host,
            threads,
            timeout,
            meetings: Cell::new(0),
            waited: Cell::default(),
            clock,
        }));
        joined.watch();
        Ok(joined)
    }

    /// Returns how many threads this rank should compute with, so that the ranks of a machine share its cores.
    pub fn threads(&self) -> usize {
        self.0.threads
    }

    /// Says why this rank cannot go on, and ends all ranks.
    pub fn abort(&self, reason: impl Display) -> ! {
        self.say(reason);
        // A launcher ends with what it has not yet read of its processes' output.
        std::thread::sleep(LAST_WORDS);
        self.0.world.abort(1)
    }

    /// Says something on behalf of this rank, in one piece: what several ranks write may be mixed between two writes.
    fn say(&self, what: impl Display) {
        let line = format!("{}: {what}\n", self.name());
        // Where nobody listens, there is nobody to tell.
        std::io::stderr().write_all(line.as_bytes()).ok();
    }

    /// Returns "rank 3 of 8 on host".
    fn name(&self) -> String {
        format!("rank {} of {} on {}", self.rank(), self.size(), self.0.host)
    }

    /// Exchanges something once all ranks have come, and ends all of them if that fails.
    fn meet<R>(&self, exchange: impl FnOnce(&Communicator) -> ferrompi::Result<R>) -> R {
        let Process { world, clock, waited, .. } = &*self.0;
        let began = clock.started.elapsed();
        clock.waiting_since.store(began.as_millis() as u64 + 1, Ordering::Relaxed);
        let outcome = self.assemble().and_then(|()| exchange(world));
        clock.waiting_since.store(0, Ordering::Relaxed);
        waited.set(waited.get() + clock.started.elapsed() - began);
        outcome.unwrap_or_else(|error| self.abort(error))
    }

    /// Tells the first rank that this one has come; the first waits until all have.
    fn assemble(&self) -> ferrompi::Result<()> {
        let Process { world, meetings, .. } = &*self.0;
        meetings.set(meetings.get() + 1);
        if self.rank() > 0 {
            return world.send(&[meetings.get()], Source::Rank(0), HERE);
        }
        let mut here = vec![0u64; self.size() - 1];
        scope(|s| {
            let received = here.chunks_mut(1).zip(1..);
            let requests =
                received.map(|(here, rank)| Ok((rank, world.irecv(s, here, Source::Rank(rank), Tag::Value(HERE))?)));
            let mut missing = requests.collect::<ferrompi::Result<Vec<_>>>()?;
            let (started, mut told) = (Instant::now(), false);
            loop {
                let mut still = vec![];
                for (rank, mut request) in missing {
                    if request.test()?.is_none() {
                        still.push((rank, request));
                    }
                }
                missing = still;
                if missing.is_empty() {
                    return Ok(());
                }
                self.wait_for(missing.iter().map(|(rank, _)| *rank), started.elapsed(), &mut told);
            }
        })
    }

    /// Waits a moment for these ranks, says so if it has taken long, and ends all ranks if it has taken too long.
    fn wait_for(&self, missing: impl Iterator<Item = i32>, waited: Duration, told: &mut bool) {
        let ranks = || missing.map(|rank| rank.to_string()).collect::<Vec<_>>().join(", ");
        if waited > self.0.timeout {
            self.abort(format_args!("waited {} s for rank {}, which does not come", waited.as_secs(), ranks()));
        }
        if waited > PATIENCE && !*told {
            self.say(format_args!("waiting for rank {}", ranks()));
            *told = true;
        }
        // Short at first, so that an exchange among punctual ranks costs no sleep.
        if waited < PAUSE { std::thread::yield_now() } else { std::thread::sleep(PAUSE.min(waited)) }
    }

    /// Starts a thread that ends this process, and so all ranks, if it waits too long.
    fn watch(&self) {
        let (clock, name, limit) = (Arc::clone(&self.0.clock), self.name(), self.0.timeout + GRACE);
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(Duration::from_secs(1));
                let since = clock.waiting_since.load(Ordering::Relaxed);
                let waited = clock.started.elapsed().saturating_sub(Duration::from_millis(since));
                if since > 0 && waited > limit {
                    eprintln!("{name}: waited {} s for the other ranks, the first among them", waited.as_secs());
                    std::process::exit(1);
                }
            }
        });
    }
}

/// Returns the number of threads for this rank: the cores that it may use, shared out among the ranks of the machine that
/// may use the same ones. A launcher may have bound each rank to cores of its own.
fn threads(world: &Communicator) -> ferrompi::Result<usize> {
    let machine = world.split_shared()?;
    let allowed = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let allowed = allowed.lines().find(|line| line.starts_with("Cpus_allowed_list")).unwrap_or_default();
    let (own, mut all) = ([digest([allowed]).key()], vec![0; machine.size() as usize]);
    machine.allgather(&own, &mut all)?;
    let sharing = all.iter().filter(|&&key| key == own[0]).count();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Ok((cores / sharing).max(1))
}

impl World for Mpi {
    fn rank(&self) -> usize {
        self.0.world.rank() as usize
    }

    fn size(&self) -> usize {
        self.0.world.size() as usize
    }

    fn all_gather<'a, T: Element>(&self, own: &'a [T], all: &'a mut Vec<T>) -> &'a [T] {
        all.resize(own.len() * self.size(), T::default());
        self.meet(|world| world.allgather(own, all));
        all
    }

    fn all_to_all<'a, T: Element>(&self, own: &'a [T], received: &'a mut Vec<T>) -> &'a [T] {
        received.resize(own.len(), T::default());
        self.meet(|world| world.alltoall(own, received));
        received
    }

    fn broadcast<T: Element>(&self, values: &mut [T]) {
        self.meet(|world| world.broadcast(values, 0));
    }

    fn barrier(&self) {
        self.meet(|world| world.barrier());
    }

    fn waited(&self) -> Duration {
        self.0.waited.get()
    }
}
