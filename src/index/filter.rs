//! Which pictures of an index are searched, by their paths and by when their files changed.

use super::Entry;
use crate::pictures::PathPattern;

/// What all pictures of a search have in common. The filter without conditions admits all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// One of these matches, if there are some.
    pub paths: Vec<PathPattern>,
    /// None of these matches.
    pub not_paths: Vec<PathPattern>,
    /// The file changed at this time or later, in nanoseconds since 1970.
    pub after: Option<i64>,
    /// The file changed before this time.
    pub before: Option<i64>,
}

impl Filter {
    /// Returns whether every picture is admitted.
    pub fn is_empty(&self) -> bool {
        *self == Filter::default()
    }

    /// Returns whether a picture is admitted.
    pub fn admits(&self, entry: &Entry) -> bool {
        let any = |patterns: &[PathPattern]| patterns.iter().any(|pattern| pattern.matches(&entry.path));
        self.after.is_none_or(|time| entry.modified >= time)
            && self.before.is_none_or(|time| entry.modified < time)
            && (self.paths.is_empty() || any(&self.paths))
            && !any(&self.not_paths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_conditions_hold() {
        let entry = |path: &str, modified| Entry { path: path.into(), size: 1, modified };
        let patterns = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
        assert!(Filter::default().is_empty() && Filter::default().admits(&entry("a", i64::MIN)));
        let filter =
            Filter { paths: patterns(&["a", "*.png"]), not_paths: patterns(&["c"]), after: Some(-3), before: Some(5) };
        assert!(!filter.is_empty());
        for (path, modified, is) in [
            ("a/b", -3, true),
            ("b.png", 4, true),
            ("b.png", 5, false),
            ("b.png", -4, false),
            ("b.jpg", 0, false),
            ("a/c/b", 0, false),
        ] {
            assert_eq!(filter.admits(&entry(path, modified)), is, "{path} {modified}");
        }
    }
}
