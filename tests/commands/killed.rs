//! Updates of an index that are killed at any moment: 16 of them, or as many as `CLIP_KILL_ROUNDS` says.

use super::search::{Bench, paint, paths};
use std::fs;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

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

/// Returns the number of pictures that are there.
fn there(bench: &Bench) -> u64 {
    (0..PICTURES).filter(|&i| bench.picture(i).exists()).count() as u64
}

#[test]
fn an_update_that_is_killed_leaves_an_index_that_the_next_completes() {
    let bench = Bench::new(PICTURES);
    bench.index();
    let rounds = std::env::var("CLIP_KILL_ROUNDS").map_or(16, |text| text.parse().expect("CLIP_KILL_ROUNDS: a number"));
    let mut were_killed = 0;
    for round in 0..rounds {
        change(&bench, round);
        let mut update =
            bench.command(&["index", "pictures"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Each a little later than the one before, until updates end before they are killed.
        sleep(Duration::from_millis(4 * (round % 16)) + Duration::from_micros(97 * round));
        update.kill().unwrap();
        were_killed += usize::from(update.wait().unwrap().code().is_none());
        // Whatever was done, the index can be searched, and each picture is in it once.
        let mut found = paths(&bench.json(&["search", "pictures", "a", "-k", "1000"]));
        let all = found.len();
        found.sort();
        found.dedup();
        assert_eq!(found.len(), all, "round {round}");
        // The next update completes what one or two that were killed left.
        if round % 3 > 0 {
            bench.index();
            assert_eq!(bench.index(), [there(&bench), 0, 0, 0, there(&bench)], "round {round}");
        }
    }
    println!("{were_killed} of {rounds} were killed");
    assert!(were_killed > 3, "{were_killed}");
    assert_eq!(bench.index()[0], there(&bench));
    for i in (0..PICTURES).filter(|&i| bench.picture(i).exists()).step_by(7) {
        let name = Bench::name(i);
        assert_eq!(paths(&bench.json(&["search", "pictures", "--image", &name, "-k", "1"])), [name]);
    }
}
