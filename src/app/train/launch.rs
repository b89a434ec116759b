//! The start of a run by itself, or as one of the ranks that a launcher of MPI has started.

use super::error::TrainError;
use super::options::Cli;
use super::run::{Outcome, run};
use crate::train::world::Alone;

/// The variables in which launchers say how many processes they have started: Open MPI's, MPICH's and its kin's, SLURM's.
const SIZES: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"];

/// Returns how many processes a launcher has started together with this one, if one has.
pub fn launched() -> Option<usize> {
    SIZES.iter().find_map(|name| std::env::var(name).ok()?.parse().ok())
}

/// Trains as the command line says, see [`run`].
///
/// # Errors
/// Returns an error if the run cannot be prepared or has to end early. Where there are other ranks, an error ends all of
/// them and does not return.
pub fn launch(cli: Cli, interrupted: &dyn Fn() -> bool) -> Result<Outcome, TrainError> {
    match launched() {
        Some(ranks) => among(ranks, cli, interrupted),
        None => run(Alone, cli, interrupted),
    }
}

#[cfg(not(feature = "mpi"))]
fn among(ranks: usize, cli: Cli, interrupted: &dyn Fn() -> bool) -> Result<Outcome, TrainError> {
    if ranks > 1 { Err(TrainError::NoMpi { ranks }) } else { run(Alone, cli, interrupted) }
}

/// Trains as one of `ranks` ranks. What ends one of them early, be it a panic, ends all.
#[cfg(feature = "mpi")]
fn among(ranks: usize, cli: Cli, interrupted: &dyn Fn() -> bool) -> Result<Outcome, TrainError> {
    use crate::app::hint::explain;
    use crate::train::world::Mpi;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::time::Duration;

    let world = Mpi::join(ranks, Duration::from_secs(cli.timeout)).map_err(TrainError::Mpi)?;
    if std::env::var_os("RAYON_NUM_THREADS").is_none() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(world.threads());
        pool.build_global().unwrap_or_else(|error| world.abort(error));
    }
    match catch_unwind(AssertUnwindSafe(|| run(world.clone(), cli, interrupted))) {
        Ok(Ok(outcome)) => Ok(outcome),
        Ok(Err(error)) => world.abort(explain(&error)),
        Err(_) => world.abort("it panicked"),
    }
}
