//! Every model configuration of open_clip 3.3, `src/open_clip/model_configs/*.json`: understood whole, or refused by the
//! field that makes it another kind of model.

use clipwright::checkpoint::ConfigFile;
use serde_json::Value;

/// A line for each configuration: its name, what the refusal of it says, and the configuration.
const CONFIGS: &str = include_str!("../golden/open_clip/model_configs.jsonl");

#[test]
fn every_configuration_is_understood_or_refused_by_the_telling_field() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    let (mut understood, mut refused) = (0, 0);
    for line in CONFIGS.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        std::fs::write(&path, line["model_cfg"].to_string()).unwrap();
        let outcome = ConfigFile::read(&path).map_err(|error| error.to_string());
        let outcome = outcome.and_then(|file| file.model_cfg.check().map_err(|error| error.to_string()));
        match (outcome, line["refused"].as_str()) {
            (Ok(()), None) => understood += 1,
            (Err(said), Some(field)) if said.contains(field) => refused += 1,
            (outcome, expected) => panic!("{}: {outcome:?} instead of {expected:?}", line["name"]),
        }
    }
    assert_eq!((understood, refused), (65, 79));
}
