//! Updates of an index that are killed at any moment.

use super::search::{Bench, paint, paths};
use std::fs;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

/// Number of updates that are killed, each a little later than the one before.
const ROUNDS: u64 = 16;
/// Number of pictures.
const PICTURES: usize = 90;

/// Changes, removes and adds pictures, so that updates append, drop and rewrite.
fn change(bench: &Bench, round: u64) {
    for i in 0..PICTURES {
        match (i as u64 + round) % 3 {
            0 => paint(&bench.picture(i), 1000 * round + i as u64, 40 + round as u32 % 7),
            1 => drop(fs::remove_file(bench.picture(i))),
            _ => {}
        }
    }
}

#[test]
fn an_update_that_is_killed_leaves_an_index_that_the_next_completes() {
    let bench = Bench::new(PICTURES);
    bench.index();
    let mut were_killed = 0;
    for round in 0..ROUNDS {
        change(&bench, round);
        let mut update =
            bench.command(&["index", "pictures"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        sleep(Duration::from_millis(4 * round));
        update.kill().unwrap();
        were_killed += usize::from(update.wait().unwrap().code().is_none());
        // Whatever was done, the index can be searched, and each picture is in it once.
        let mut found = paths(&bench.json(&["search", "pictures", "a", "-k", "1000"]));
        let all = found.len();
        found.sort();
        found.dedup();
        assert_eq!(found.len(), all, "round {round}");
    }
    assert!(were_killed > 3, "{were_killed}");
    let left: Vec<usize> = (0..PICTURES).filter(|&i| bench.picture(i).exists()).collect();
    assert_eq!(bench.index()[0], left.len() as u64);
    assert_eq!(bench.index()[1..], [0, 0, 0, left.len() as u64]);
    for &i in left.iter().step_by(7) {
        let name = Bench::name(i);
        assert_eq!(paths(&bench.json(&["search", "pictures", "--image", &name, "-k", "1"])), [name]);
    }
}
