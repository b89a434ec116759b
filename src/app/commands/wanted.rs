//! What `clipwright search` looks for: any number of texts and pictures, each with a weight.

use crate::app::number::above_zero;
use crate::files;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Args, Command, FromArgMatches, value_parser};
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};

/// What stands above the options of a query in the help.
const HEADING: &str = "Query";

/// The options that name texts and pictures of a query, with the sign of their weights.
const TEXTS: [(&str, f32); 2] = [("text", 1.0), ("not", -1.0)];
const IMAGES: [(&str, f32); 2] = [("image", 1.0), ("not-image", -1.0)];

/// The index to search, and the parts of the query in the order of the command line.
#[derive(Debug)]
pub(super) struct Wanted {
    pub index: PathBuf,
    pub parts: Vec<Part>,
}

/// A text or a picture of a query.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Part {
    #[serde(flatten)]
    pub what: What,
    /// Below 0 if pictures should not show it.
    pub weight: f32,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum What {
    Text(String),
    #[serde(serialize_with = "files::serialize_name")]
    Image(PathBuf),
}

impl Wanted {
    pub(super) fn texts(&self) -> impl Iterator<Item = &String> {
        self.parts.iter().filter_map(|part| if let What::Text(text) = &part.what { Some(text) } else { None })
    }

    pub(super) fn images(&self) -> impl Iterator<Item = &PathBuf> {
        self.parts.iter().filter_map(|part| if let What::Image(path) = &part.what { Some(path) } else { None })
    }
}

/// A query reads like a sum: the first part, then each other one with its sign and, unless it is 1, its weight.
impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for (i, Part { what, weight }) in self.parts.iter().enumerate() {
            f.write_str(match (i, *weight < 0.0) {
                (0, false) => "",
                (0, true) => "− ",
                (_, false) => " + ",
                (_, true) => " − ",
            })?;
            if weight.abs() != 1.0 {
                write!(f, "{} × ", weight.abs())?;
            }
            match what {
                What::Text(text) => f.write_str(text)?,
                What::Image(path) => f.write_str(&files::name(path))?,
            }
        }
        Ok(())
    }
}

/// Clap's derived options forget their order, and a weight belongs to the part in front of it.
impl Args for Wanted {
    fn augment_args(command: Command) -> Command {
        let part = |name: &'static str, value: &'static str| {
            Arg::new(name).long(name).value_name(value).action(ArgAction::Append).help_heading(HEADING)
        };
        command
            .arg(
                Arg::new("index")
                    .value_name("INDEX")
                    .required(true)
                    .value_parser(value_parser!(PathBuf))
                    .help("Folder of the index, or the folder of pictures that it is in"),
            )
            .arg(
                Arg::new("words")
                    .value_name("TEXT")
                    .help("Text to look for, as --text; it may also stand in front of INDEX"),
            )
            .arg(part("text", "TEXT").help("Another text to look for"))
            .arg(part("image", "FILE").value_parser(value_parser!(PathBuf)).help("Picture to look for others like it"))
            .arg(part("not", "TEXT").help("Text that pictures should not show"))
            .arg(
                part("not-image", "FILE")
                    .value_parser(value_parser!(PathBuf))
                    .help("Picture that they should not be like"),
            )
            .arg(
                part("weight", "NUMBER")
                    .value_parser(above_zero::<f32>)
                    .help("How much the text or picture in front of this counts [default: 1]"),
            )
            .group(
                ArgGroup::new("query")
                    .args(["words", "text", "image", "not", "not-image"])
                    .required(true)
                    .multiple(true),
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Wanted {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let (index, words) = positional(matches);
        let found = |what, sign| Part { what, weight: sign };
        let mut parts: Vec<(usize, Part)> = vec![];
        parts.extend(words.map(|(place, text)| (place, found(What::Text(text), 1.0))));
        for (name, sign) in TEXTS {
            parts.extend(given(matches, name).map(|(place, text)| (place, found(What::Text(text), sign))));
        }
        for (name, sign) in IMAGES {
            parts.extend(given(matches, name).map(|(place, path)| (place, found(What::Image(path), sign))));
        }
        parts.sort_by_key(|(place, _)| *place);
        let (places, mut parts): (Vec<usize>, Vec<Part>) = parts.into_iter().unzip();
        let mut weighted = vec![None; parts.len()];
        for (at, weight) in given::<f32>(matches, "weight") {
            let Some(part) = places.partition_point(|&place| place < at).checked_sub(1) else {
                return Err(refused(format!("--weight {weight}: no text or picture stands in front of it")));
            };
            if let Some(other) = weighted[part].replace(weight) {
                return Err(refused(format!("--weight {weight}: what stands in front of it has the weight {other}")));
            }
            parts[part].weight *= weight;
        }
        Ok(Wanted { index, parts })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Returns INDEX and TEXT, the latter with its place. They are exchanged if only the second is a folder.
fn positional(matches: &ArgMatches) -> (PathBuf, Option<(usize, String)>) {
    let (first, index) = given::<PathBuf>(matches, "index").next().expect("it is required");
    match given::<String>(matches, "words").next() {
        Some((_, text)) if !index.is_dir() && Path::new(&text).is_dir() => {
            (text.into(), Some((first, index.to_string_lossy().into_owned())))
        }
        words => (index, words),
    }
}

/// Returns the values of an argument with their places on the command line.
fn given<T: Clone + Send + Sync + 'static>(matches: &ArgMatches, name: &str) -> impl Iterator<Item = (usize, T)> {
    let places = matches.indices_of(name).into_iter().flatten();
    places.zip(matches.get_many::<T>(name).into_iter().flatten().cloned())
}

fn refused(reason: String) -> clap::Error {
    clap::Error::raw(ErrorKind::ValueValidation, reason + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &[&str]) -> Result<Wanted, String> {
        let command = Wanted::augment_args(Command::new("search").no_binary_name(true));
        let matches = command.try_get_matches_from(line).map_err(|error| error.to_string())?;
        Wanted::from_arg_matches(&matches).map_err(|error| error.to_string())
    }

    #[test]
    fn a_weight_is_that_of_the_part_in_front_of_it() {
        let shown = |line: &[&str]| parse(line).unwrap().to_string();
        assert_eq!(shown(&["i", "a beach"]), "a beach");
        assert_eq!(shown(&["i", "a^2", "--not", "b:3"]), "a^2 − b:3");
        let line = ["i", "a beach", "--image", "sunset.jpg", "--weight", "2", "--not", "people", "--weight=0.5"];
        assert_eq!(shown(&line), "a beach + 2 × sunset.jpg − 0.5 × people");
        let line = ["--text", "a", "--weight", "3", "i", "--not-image", "b.png", "--text", "c"];
        assert_eq!(shown(&line), "3 × a − b.png + c");
        assert_eq!(shown(&["--not", "a", "i"]), "− a");
    }

    /// The second of two is the index if only it is a folder; a weight stays behind its text.
    #[test]
    fn a_text_may_stand_in_front() {
        let wanted = parse(&["a beach", "--weight", "2", "src", "--not", "b"]).unwrap();
        assert_eq!((wanted.to_string().as_str(), wanted.index), ("2 × a beach − b", "src".into()));
    }

    #[test]
    fn what_no_weight_belongs_to_is_said() {
        assert!(parse(&["i"]).unwrap_err().contains("--text"));
        assert!(parse(&["--weight", "2", "i", "a"]).unwrap_err().contains("--weight 2: no text or picture"));
        let twice = parse(&["i", "a", "--weight", "2", "--weight", "3"]).unwrap_err();
        assert!(twice.contains("--weight 3: what stands in front of it has the weight 2"), "{twice}");
        for bad in ["0", "-1", "nan", "inf", "much"] {
            assert!(parse(&["i", "a", &format!("--weight={bad}")]).unwrap_err().contains("not a number above 0"));
        }
    }
}
