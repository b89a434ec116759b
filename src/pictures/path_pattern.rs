//! Patterns of paths below a folder of pictures.

use glob::{MatchOptions, Pattern};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A `*` is part of one name. Case does not matter, since patterns and paths become lower case before they are compared.
const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

/// A pattern of paths below the folder of pictures, as in a `.gitignore`: with a `/`, it is one of the whole path, and
/// without one it is one of any name in the path. Where it matches a folder, it matches all that is in it. `*` and `?`
/// stand for parts of a name, `**` for any folders, `[ab]` for one of these characters; case does not matter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PathPattern {
    /// The pattern as it was given.
    text: String,
    is_whole: bool,
    pattern: Pattern,
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<PathPattern> for String {
    fn from(pattern: PathPattern) -> String {
        pattern.text
    }
}

impl TryFrom<String> for PathPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|reason| format!("{text:?} is no pattern of paths: {reason}"))
    }
}

impl FromStr for PathPattern {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        let text = given.strip_suffix('/').unwrap_or(given);
        let (is_whole, below) = (text.contains('/'), text.trim_start_matches("./"));
        match below.strip_prefix('/').unwrap_or(below).to_lowercase() {
            name if ["", "."].contains(&name.as_str()) => Err("no picture has this path".into()),
            name => {
                let pattern = Pattern::new(&name).map_err(|error| error.to_string())?;
                Ok(PathPattern { text: given.into(), is_whole, pattern })
            }
        }
    }
}

impl PathPattern {
    /// Returns whether the pattern is one of a path with `/` between its parts.
    pub fn matches(&self, path: &str) -> bool {
        let path = path.to_lowercase();
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
        assert!("./Äpfel".parse::<PathPattern>().unwrap().matches("äpfel/1.png"));
        for mistake in ["a[", "", "/", "./"] {
            assert!(mistake.parse::<PathPattern>().is_err(), "{mistake}");
        }
    }

    #[test]
    fn a_pattern_is_written_as_it_was_given() {
        let pattern: PathPattern = "./Rome/".parse().unwrap();
        let json = serde_json::to_string(&pattern).unwrap();
        assert_eq!((json.as_str(), pattern.to_string().as_str()), ("\"./Rome/\"", "./Rome/"));
        assert_eq!(serde_json::from_str::<PathPattern>(&json).unwrap(), pattern);
        let error = serde_json::from_str::<PathPattern>("\"a[\"").unwrap_err().to_string();
        assert!(error.starts_with("\"a[\" is no pattern of paths: "), "{error}");
    }
}
