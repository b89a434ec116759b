//! What ranks tell each other besides numbers of the model.

use super::error::TrainError;
use crate::app::VERSION;
use crate::digest::digest;
use crate::train::world::World;
use crate::train::world::slices::CHUNK_PIECES;
use kernels::isa::Isa;

/// Longest value that ranks compare, in bytes.
const MAX: usize = 4096;

/// Checks that ranks and shards fit together.
///
/// # Errors
/// Returns an error unless the number of ranks is a power of two and at most that of shards.
pub(super) fn check_ranks<W: World>(world: &W, shards: usize) -> Result<(), TrainError> {
    let ranks = world.size();
    if ranks.is_power_of_two() && ranks <= shards.min(CHUNK_PIECES) {
        return Ok(());
    }
    Err(TrainError::Ranks { ranks, shards })
}

/// Checks that all ranks compute alike: with the same program, instruction set and options, on the same data.
///
/// # Errors
/// Returns an error that says in what a rank differs from the first one.
pub(super) fn check_alike<W: World>(world: &W, options: &str, data: &str) -> Result<(), TrainError> {
    let isa = Isa::from_env().map_or("none", Isa::name);
    let own = [("version", VERSION), ("instruction set", isa), ("options", options), ("data", data)];
    for (what, value) in own {
        let (own, mut all) = ([digest([value]).key()], vec![]);
        let keys = world.all_gather(&own, &mut all);
        if let Some(rank) = keys.iter().position(|key| *key != keys[0]) {
            return Err(TrainError::Differs { what, rank, first: share_text(world, value) });
        }
    }
    Ok(())
}

/// Returns the text of the first rank on all ranks; what is longer than 4096 bytes is cut off.
pub(super) fn share_text<W: World>(world: &W, text: &str) -> String {
    let mut bytes = [0; MAX];
    let len = text.len().min(MAX);
    bytes[..len].copy_from_slice(&text.as_bytes()[..len]);
    let mut size = [len as u64];
    world.broadcast(&mut size);
    world.broadcast(&mut bytes);
    String::from_utf8_lossy(&bytes[..size[0] as usize]).into_owned()
}
