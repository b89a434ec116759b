//! Finds models of the Hugging Face Hub by name, in the cache that the Hub's own programs keep on this machine. Nothing
//! is downloaded.
//!
//! ```text
//! models--org--name/refs/main             the revision
//! models--org--name/snapshots/revision/   the files, as links
//! ```

use super::CheckpointError;
use std::env;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// The beginning of the name of a model's folder in the cache.
pub(crate) const FOLDER: &str = "models--";

/// Whether this may be the name of a model on the Hub: `org/name`.
pub(crate) fn is_name(name: &str) -> bool {
    let is_part = |part: &str| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        !part.is_empty() && !part.starts_with(['.', '-']) && part.chars().all(is_plain)
    };
    name.split_once('/').is_some_and(|(org, name)| is_part(org) && is_part(name))
}

/// Returns the folder of a model's files.
///
/// # Errors
/// Returns an error if the cache does not have the model, or does not say which revision is meant.
pub(crate) fn find(name: &str) -> Result<PathBuf, CheckpointError> {
    find_in(&own_cache(), name)
}

/// Returns the error for a model that is not in the cache, or is there without its weights.
pub(crate) fn not_cached(name: &str) -> CheckpointError {
    CheckpointError::NotCached { name: name.into(), cache: own_cache() }
}

/// Returns the folder of the cache that the environment of this process chooses.
fn own_cache() -> PathBuf {
    cache(&|name| env::var_os(name).map(PathBuf::from), env::home_dir())
}

/// Returns the folder of the cache, which is found as `huggingface_hub` finds it.
fn cache(variable: &dyn Fn(&str) -> Option<PathBuf>, home: Option<PathBuf>) -> PathBuf {
    let variable = |name| variable(name).filter(|path| !path.as_os_str().is_empty());
    let caches = || variable("XDG_CACHE_HOME").unwrap_or_else(|| home.unwrap_or_default().join(".cache"));
    variable("HF_HUB_CACHE")
        .unwrap_or_else(|| variable("HF_HOME").unwrap_or_else(|| caches().join("huggingface")).join("hub"))
}

fn find_in(cache: &Path, name: &str) -> Result<PathBuf, CheckpointError> {
    let absent = || CheckpointError::NotCached { name: name.into(), cache: cache.into() };
    if !is_name(name) {
        return Err(absent());
    }
    snapshot(&cache.join(format!("{FOLDER}{}", name.replace('/', "--"))))?.ok_or_else(absent)
}

/// Returns the folder of the snapshot that the model's folder in the cache refers to, or `None` if it has none.
///
/// # Errors
/// Returns an error if there are several snapshots and no reference chooses one.
pub(crate) fn snapshot(model: &Path) -> Result<Option<PathBuf>, CheckpointError> {
    let snapshots = model.join("snapshots");
    let revision = match fs::read_to_string(model.join("refs").join("main")) {
        Ok(revision) => Some(PathBuf::from(revision.trim())),
        Err(_) => only_one(&snapshots)?,
    };
    // A reference may name only a snapshot beside it, not another folder on the disk.
    let is_plain = |name: &PathBuf| matches!(name.components().collect::<Vec<_>>()[..], [Component::Normal(_)]);
    Ok(revision.filter(is_plain).map(|name| snapshots.join(name)).filter(|folder| folder.is_dir()))
}

/// Returns the name of the snapshot if there is exactly one, which then needs no reference.
fn only_one(snapshots: &Path) -> Result<Option<PathBuf>, CheckpointError> {
    let mut names = fs::read_dir(snapshots).into_iter().flatten().flatten().map(|entry| entry.file_name());
    match (names.next(), names.count()) {
        (first, 0) => Ok(first.map(PathBuf::from)),
        (_, more) => Err(CheckpointError::Snapshots { path: snapshots.into(), count: more + 1 }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_where_the_hubs_programs_have_it() {
        let of = |set: &[(&str, &str)]| {
            let variable = |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value));
            cache(&variable, Some("/home/me".into()))
        };
        assert_eq!(of(&[]), Path::new("/home/me/.cache/huggingface/hub"));
        assert_eq!(of(&[("HF_HUB_CACHE", ""), ("HF_HOME", "")]), Path::new("/home/me/.cache/huggingface/hub"));
        assert_eq!(of(&[("XDG_CACHE_HOME", "/c")]), Path::new("/c/huggingface/hub"));
        assert_eq!(of(&[("XDG_CACHE_HOME", "/c"), ("HF_HOME", "/h")]), Path::new("/h/hub"));
        assert_eq!(of(&[("HF_HOME", "/h"), ("HF_HUB_CACHE", "/x")]), Path::new("/x"));
    }

    #[test]
    fn the_revision_of_main_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path();
        let found = || find_in(cache, "org/name").map_err(|error| error.to_string());
        let absent = || {
            let error = found().unwrap_err();
            assert!(error.contains("hf download org/name") && error.contains(cache.to_str().unwrap()), "{error}");
        };
        absent();
        let model = cache.join("models--org--name");
        fs::create_dir_all(model.join("snapshots/abc")).unwrap();
        assert_eq!(found().unwrap(), model.join("snapshots/abc"));
        fs::create_dir(model.join("snapshots/def")).unwrap();
        assert!(found().unwrap_err().contains("2 snapshots"));
        fs::create_dir(model.join("refs")).unwrap();
        for (reference, revision) in
            [("def", Some("def")), ("abc\n", Some("abc")), ("ghi", None), ("..", None), ("", None)]
        {
            fs::write(model.join("refs/main"), reference).unwrap();
            match revision {
                Some(revision) => assert_eq!(found().unwrap(), model.join("snapshots").join(revision)),
                None => absent(),
            }
        }
    }

    #[test]
    fn names_are_an_organisation_and_a_model() {
        assert!(is_name("openai/clip-vit-base-patch32") && is_name("laion/CLIP-ViT-B-32-laion2B-s34B-b79K"));
        for name in ["clip", "/clip", "openai/", "a/b/c", "../clip", "./clip", "a b/c", "openai/..", "-a/b"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
