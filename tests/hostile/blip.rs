//! BLIP's weights and configurations.

use super::configurations::value;
use super::support::blip::{folder, overrides};
use super::support::folders::edit;
use super::{cases, damaged, edits, fields};
use clipwright::checkpoint::blip::{CONFIG, Format, Overrides, load, save};
use clipwright::checkpoint::{Precision, kind};
use proptest::prelude::*;
use std::fs;

/// The tests that other seeds can be given.
pub const TESTS: &[fn()] = &[any_fields_are_survived, damaged_files_are_survived];

proptest! {
    #![proptest_config(cases(200))]

    /// What is accepted is a model of the size of its file.
    #[test]
    fn any_fields_are_survived(
        format in prop::sample::select(&[Format::Original, Format::HuggingFace][..]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), value()), 1..4),
    ) {
        let to = tempfile::tempdir().unwrap();
        let model = load(&folder("blip_caption"), &Overrides::default()).unwrap();
        save(to.path(), &model.config, &model.params, model.preprocess.as_ref(), format, Precision::F32).unwrap();
        let name = if format == Format::Original { CONFIG } else { "config.json" };
        edit(&to.path().join(name), |json| for (which, value) in &changes {
            let mut found = vec![];
            fields("", json, &mut found);
            *json.pointer_mut(&found[which.index(found.len())]).unwrap() = value.clone();
        });
        if let Ok(changed) = load(to.path(), &Overrides::default()) {
            prop_assert_eq!(changed.params.flat.len(), model.params.flat.len());
            prop_assert!(changed.config.check().is_ok());
        }
    }

    #[test]
    fn damaged_files_are_survived(
        edits in edits(),
        name in prop::sample::select(&["blip_decoder/model.safetensors", "blip_torch/captioner.pth"][..]),
    ) {
        let to = tempfile::tempdir().unwrap();
        let path = to.path().join("model.pth");
        fs::write(&path, damaged(&fs::read(folder(name)).unwrap(), &edits)).unwrap();
        let _ = kind(&path);
        let _ = load(&path, &overrides("blip_decoder"));
    }
}
