//! The columns of a table that hold pictures and captions: those that are asked for or, where a table does not have the
//! default ones, those with another common name.

use std::fmt;

/// Common names of the column with the pictures' paths, the likeliest first.
const PICTURE: [&str; 17] = [
    "filepath",
    "file_name",
    "file_path",
    "image_path",
    "img_path",
    "image_file",
    "filename",
    "image",
    "img",
    "picture",
    "photo",
    "path",
    "file",
    "image_name",
    "image_id",
    "url",
    "image_url",
];
/// Common names of the column with the captions, the likeliest first.
const CAPTION: [&str; 12] = [
    "title",
    "text",
    "caption",
    "captions",
    "description",
    "sentence",
    "alt_text",
    "alt",
    "prompt",
    "label",
    "class",
    "name",
];

/// The names of the two columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// Name of the column with the pictures' paths.
    pub picture: String,
    /// Name of the column with the captions.
    pub caption: String,
}

impl Default for Columns {
    /// Returns OpenCLIP's names.
    fn default() -> Self {
        Self { picture: PICTURE[0].to_owned(), caption: CAPTION[0].to_owned() }
    }
}

impl fmt::Display for Columns {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{:?} holds the pictures, {:?} the captions", self.picture, self.caption)
    }
}

impl Columns {
    /// Finds the columns among the headings of a table. Names that differ from the default must be present exactly.
    ///
    /// # Errors
    /// Returns the name of the first column that is missing.
    pub(crate) fn find(&self, headings: &[&str]) -> Result<Self, &str> {
        let (usual, hugging_face) = (Self::default(), self.or_hugging_face());
        let has = |wanted: &str| headings.contains(&wanted);
        let has_both = |columns: &Self| has(&columns.picture) && has(&columns.caption);
        if has_both(&hugging_face) && !has_both(self) {
            return Ok(hugging_face);
        }
        let find = |wanted: &str, usual: &str, names: &[&str]| {
            let is = |heading: &&&str, name: &str| heading.trim().eq_ignore_ascii_case(name);
            let guess = || names.iter().find_map(|name| headings.iter().find(|heading| is(heading, name)));
            let guess = || guess().filter(|_| wanted == usual).map(|name| name.to_string());
            if has(wanted) { Some(wanted.to_owned()) } else { guess() }
        };
        let picture = find(&self.picture, &usual.picture, &PICTURE);
        match (picture, find(&self.caption, &usual.caption, &CAPTION)) {
            (Some(picture), Some(caption)) => Ok(Self { picture, caption }),
            _ if has(&self.picture) => Err(&self.caption),
            _ => Err(&self.picture),
        }
    }

    /// Returns Hugging Face's names if these are the default ones, and these otherwise.
    pub(super) fn or_hugging_face(&self) -> Self {
        if *self == Self::default() {
            Self { picture: PICTURE[1].to_owned(), caption: CAPTION[1].to_owned() }
        } else {
            self.clone()
        }
    }

    /// Returns whether these are the names of a format, OpenCLIP's or Hugging Face's, or those that were `asked` for.
    /// All others are a guess.
    pub(super) fn are_usual(&self, asked: &Self) -> bool {
        let names = (self.picture.as_str(), self.caption.as_str());
        self == asked || [("filepath", "title"), ("file_name", "text")].contains(&names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_names_are_guessed_and_others_asked_for() {
        let found = |headings: &[&str]| {
            let found = Columns::default().find(headings).map_err(str::to_owned);
            found.map(|found| (found.picture, found.caption))
        };
        let is = |picture: &str, caption: &str| Ok((picture.to_owned(), caption.to_owned()));
        assert_eq!(found(&["file_name", "title", "text"]), is("file_name", "text"));
        assert_eq!(found(&["id", "title", "filepath", "image"]), is("filepath", "title"));
        assert_eq!(found(&["image", "caption"]), is("image", "caption"));
        assert_eq!(found(&["url", "TEXT", "hash"]), is("url", "TEXT"));
        assert_eq!(found(&[" Image_Path", "Caption "]), is(" Image_Path", "Caption "));
        assert_eq!(found(&["file_name", "text", "url"]), is("file_name", "text"));
        assert_eq!(found(&["a", "text"]), Err("filepath".into()));
        assert_eq!(found(&["image", "b"]), Err("filepath".into()));
        assert_eq!(found(&["filepath", "b"]), Err("title".into()));
        let own = Columns { picture: "scan".into(), ..Columns::default() };
        assert_eq!(own.find(&["image", "caption"]), Err("scan"));
        assert_eq!(own.find(&["scan", "caption"]).unwrap().caption, "caption");
    }

    #[test]
    fn a_guess_is_told_from_the_names_of_a_format() {
        let columns = |picture: &str, caption: &str| Columns { picture: picture.into(), caption: caption.into() };
        assert!(columns("file_name", "text").are_usual(&Columns::default()));
        assert!(columns("a", "b").are_usual(&columns("a", "b")));
        assert!(!columns("image", "caption").are_usual(&Columns::default()));
    }
}
