//! The files of the data set that is part of clipwright, a package of their own because of their size. `NOTICE.md` names
//! their sources and licences.

/// Lines of a concept with its names and keywords in English, under a heading.
pub const CONCEPTS: &str = include_str!("emoji.tsv");
/// Lines of article, singular and plural of the names that scenes are made of, under a heading.
pub const NOUNS: &str = include_str!("nouns.tsv");

/// Returns the sheet of a vendor's drawings, and the list of the concepts on it.
///
/// # Panics
/// If there is no such vendor.
#[track_caller]
pub fn sheet(vendor: &str) -> (&'static [u8], &'static str) {
    macro_rules! choose {
        ($($name:literal),*) => {
            match vendor {
                $($name => (include_bytes!(concat!($name, ".png")).as_slice(), include_str!(concat!($name, ".ids"))),)*
                _ => panic!("no drawings by {vendor}"),
            }
        };
    }
    choose!("noto", "fluent3d", "fluentflat", "fluenthc", "emojitwo", "blob", "fxemoji", "twemoji")
}

/// Returns lines of a concept with its name and keywords in a language other than English.
///
/// # Panics
/// If there is no such language.
#[track_caller]
pub fn labels(language: &str) -> &'static str {
    macro_rules! choose {
        ($($code:literal),*) => {
            match language {
                $($code => include_str!(concat!("labels.", $code, ".tsv")),)*
                _ => panic!("no names in {language}"),
            }
        };
    }
    choose!("de", "es", "fr", "it", "ja", "ko", "pt", "ru", "zh", "zh-hant")
}
