//! Which pictures of an index are searched, by their paths and by when their files changed.

use super::Entry;
use glob::{MatchOptions, Pattern, PatternError};
use std::str::FromStr;

/// Photographs are called `.jpg` or `.JPG`, and a `*` is part of one name.
const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: false, require_literal_separator: true, require_literal_leading_dot: false };

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

/// A pattern of paths below the folder of pictures, as in a `.gitignore`: with a `/`, it is one of the whole path, and
/// without one it is one of any name in the path. Where it matches a folder, it matches all that is in it. `*` and `?`
/// stand for parts of a name, `**` for any folders, `[ab]` for one of these characters; case does not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    is_whole: bool,
    pattern: Pattern,
}

impl FromStr for PathPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let text = text.strip_suffix('/').unwrap_or(text);
        let is_whole = text.contains('/');
        Ok(PathPattern { is_whole, pattern: Pattern::new(text.strip_prefix('/').unwrap_or(text))? })
    }
}

impl PathPattern {
    /// Returns whether the pattern is one of a path with `/` between its parts.
    pub fn matches(&self, path: &str) -> bool {
        let is = |part: &str| self.pattern.matches_with(part, OPTIONS);
        if !self.is_whole {
            return path.split('/').any(is);
        }
        let ends = path.match_indices('/').map(|(end, _)| end);
        ends.chain([path.len()]).any(|end| is(&path[..end]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_of_names_or_of_whole_paths() {
        let path = "2024/Rome/IMG_7.JPG";
        for (pattern, is) in [
            ("*.jpg", true),
            ("*.png", false),
            ("rome", true),
            ("Rom", false),
            ("rome/", true),
            ("2024/rome", true),
            ("/2024", true),
            ("/rome", false),
            ("rome/img_7.jpg", false),
            ("*/img_?.jpg", false),
            ("*/*/img_?.jpg", true),
            ("2024/**", true),
            ("**/img_[0-7].*", true),
            ("**/img_[!0-7].*", false),
            ("2024/*.jpg", false),
        ] {
            assert_eq!(pattern.parse::<PathPattern>().unwrap().matches(path), is, "{pattern}");
        }
        assert!("a[".parse::<PathPattern>().is_err());
    }

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
