//! What a search looks for, as addresses and bodies say it.

use super::body::parse;
use super::inputs::{Files, check_text, picture};
use super::reply::Fault;
use super::url_query::UrlQuery;
use crate::app::commands::filters::time;
use crate::embed::Family;
use crate::index::{Filter, PathPattern};
use serde::Deserialize;

/// How many pictures are returned if a request does not say it, and at most, those that are skipped included.
const DEFAULT_K: usize = 10;
const MAX_K: usize = 10_000;
/// The most parts of a query.
const MAX_PARTS: usize = 64;
/// The largest weight of a part.
const MAX_WEIGHT: f32 = 1e6;

/// A search.
pub(super) struct SearchRequest {
    pub parts: Vec<QueryPart>,
    pub filter: Filter,
    /// The least cosine.
    pub above: Option<f32>,
    /// The name of the one index that is searched.
    pub index: Option<String>,
    pub k: usize,
    /// How many of the best are skipped.
    pub offset: usize,
}

/// A text or a picture with its weight.
pub(super) struct QueryPart {
    pub what: Sought,
    pub weight: f32,
}

pub(super) enum Sought {
    Text(String),
    /// The bytes of a picture's file, and the field that has them.
    Picture(String, Vec<u8>),
    /// The id of a picture of an index.
    Like(String),
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Body {
    text: Option<String>,
    image: Option<String>,
    like: Option<String>,
    not: Option<String>,
    parts: Vec<BodyPart>,
    index: Option<String>,
    k: Option<usize>,
    offset: Option<usize>,
    path: Vec<String>,
    not_path: Vec<String>,
    after: Option<String>,
    before: Option<String>,
    above: Option<f32>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct BodyPart {
    text: Option<String>,
    image: Option<String>,
    like: Option<String>,
    weight: Option<f32>,
}

impl SearchRequest {
    /// Reads a body.
    ///
    /// # Errors
    /// Returns a fault that names the field.
    pub fn of_body(body: &[u8]) -> Result<Self, Fault> {
        let request: Body = parse(body)?;
        let mut parts = vec![];
        let mut add = |what: Result<Sought, Fault>, weight| what.map(|what| parts.push(QueryPart { what, weight }));
        for (i, part) in request.parts.iter().enumerate() {
            let name = format!("parts[{i}]");
            let what = match part {
                BodyPart { text: Some(text), image: None, like: None, .. } => Ok(Sought::Text(text.clone())),
                BodyPart { text: None, image: Some(image), like: None, .. } => decoded(format!("{name}.image"), image),
                BodyPart { text: None, image: None, like: Some(id), .. } => Ok(Sought::Like(id.clone())),
                _ => Err(Fault::field(&name, "one of text, image and like")),
            };
            let weight = part.weight.unwrap_or(1.0);
            if weight == 0.0 || weight.abs() > MAX_WEIGHT || weight.is_nan() {
                let message = format!("{weight}; it is not 0, and at most {MAX_WEIGHT}");
                return Err(Fault::field(format!("{name}.weight"), message));
            }
            add(what, weight)?;
        }
        let Body { text, image, like, not, .. } = &request;
        text.iter().try_for_each(|text| add(Ok(Sought::Text(text.clone())), 1.0))?;
        image.iter().try_for_each(|image| add(decoded("image".into(), image), 1.0))?;
        like.iter().try_for_each(|id| add(Ok(Sought::Like(id.clone())), 1.0))?;
        not.iter().try_for_each(|text| add(Ok(Sought::Text(text.clone())), -1.0))?;
        Self::of(parts, request)
    }

    /// Reads what stands behind the question mark of an address.
    ///
    /// # Errors
    /// Returns a fault that names the field.
    pub fn of_query(text: &str) -> Result<Self, Fault> {
        let mut query = UrlQuery::parse(text);
        let part = |what: fn(String) -> Sought, weight| move |text| QueryPart { what: what(text), weight };
        let mut parts: Vec<QueryPart> = query.all("q").into_iter().map(part(Sought::Text, 1.0)).collect();
        parts.extend(query.all("like").into_iter().map(part(Sought::Like, 1.0)));
        parts.extend(query.all("not").into_iter().map(part(Sought::Text, -1.0)));
        let request = Body {
            index: query.one("index")?,
            k: query.number("k")?,
            offset: query.number("offset")?,
            path: query.all("path"),
            not_path: query.all("not_path"),
            after: query.one("after")?,
            before: query.one("before")?,
            above: query.number("above")?,
            ..Body::default()
        };
        query.end()?;
        Self::of(parts, request)
    }

    fn of(parts: Vec<QueryPart>, request: Body) -> Result<Self, Fault> {
        let Body { index, k, offset, path, not_path, after, before, above, .. } = request;
        match parts.len() {
            0 => return Err(Fault::invalid("nothing to look for: say q, or in a body text, image, like or parts")),
            1..=MAX_PARTS => {}
            n => return Err(Fault::field("parts", format!("{n}; a query has at most {MAX_PARTS}"))),
        }
        let (k, offset) = (k.unwrap_or(DEFAULT_K), offset.unwrap_or(0));
        if k == 0 || k > MAX_K || offset > MAX_K - k {
            return Err(Fault::field("k", format!("{k} behind {offset}; from 1, and both together up to {MAX_K}")));
        }
        if let Some(above) = above.filter(|above| !(-1.0..=1.0).contains(above)) {
            return Err(Fault::field("above", format!("{above}; cosines are from -1 to 1")));
        }
        let moment = |name: &str, text: Option<String>| {
            text.map(|text| time(&text).map_err(|error| Fault::field(name, format!("{text:?}: {error}")))).transpose()
        };
        let filter = Filter {
            paths: patterns("path", &path)?,
            not_paths: patterns("not_path", &not_path)?,
            after: moment("after", after)?,
            before: moment("before", before)?,
        };
        Ok(SearchRequest { parts, filter, above, index, k, offset })
    }

    /// Checks that the model can embed the texts.
    ///
    /// # Errors
    /// Returns a fault that names the text.
    pub fn check<C>(&self, family: &Family<C>) -> Result<(), Fault> {
        self.texts().try_for_each(|text| check_text(family, "text", text))
    }

    pub fn texts(&self) -> impl Iterator<Item = &String> {
        self.parts.iter().filter_map(|part| if let Sought::Text(text) = &part.what { Some(text) } else { None })
    }

    /// Returns the pictures, each with the field that has it.
    pub fn pictures(&self) -> Files {
        let picture = |part: &QueryPart| match &part.what {
            Sought::Picture(field, bytes) => Some((field.clone(), bytes.clone())),
            _ => None,
        };
        self.parts.iter().filter_map(picture).collect()
    }
}

fn decoded(param: String, image: &str) -> Result<Sought, Fault> {
    picture(&param, image).map(|bytes| Sought::Picture(param, bytes))
}

fn patterns(name: &str, texts: &[String]) -> Result<Vec<PathPattern>, Fault> {
    let pattern = |text: &String| text.parse().map_err(|error| Fault::field(name, format!("{text:?}: {error}")));
    texts.iter().map(pattern).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(outcome: Result<SearchRequest, Fault>) -> String {
        outcome.map(|_| ()).unwrap_err().message
    }

    #[test]
    fn both_forms_say_the_same() {
        let by_query = SearchRequest::of_query("q=beach&not=people&k=3&offset=4&path=2024/**&above=0.25").unwrap();
        let body = r#"{"text": "beach", "not": "people", "k": 3, "offset": 4, "path": ["2024/**"], "above": 0.25}"#;
        let by_body = SearchRequest::of_body(body.as_bytes()).unwrap();
        for wanted in [by_query, by_body] {
            assert_eq!(wanted.texts().collect::<Vec<_>>(), ["beach", "people"]);
            assert_eq!(wanted.parts.iter().map(|part| part.weight).collect::<Vec<_>>(), [1.0, -1.0]);
            assert_eq!((wanted.k, wanted.offset, wanted.above), (3, 4, Some(0.25)));
            assert_eq!(wanted.filter.paths, ["2024/**".parse().unwrap()]);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, said) in [
            ("", "nothing to look for"),
            ("q=a&k=0", "k: 0"),
            ("q=a&k=1&offset=10000", "k: 1 behind 10000"),
            ("q=a&k=18446744073709551616", "k: \"18446744073709551616\""),
            ("q=a&above=2", "above: 2"),
            ("q=a&above=NaN", "above: NaN"),
            ("q=a&after=yesterday", "after: \"yesterday\""),
            ("q=a&path=", "path: \"\""),
            ("q=a&x=1", "x: not known"),
        ] {
            assert!(message(SearchRequest::of_query(query)).starts_with(said), "{query}");
        }
        for (body, said) in [
            (r#"{"parts": [{}]}"#, "parts[0]: one of"),
            (r#"{"parts": [{"text": "a", "like": "b"}]}"#, "parts[0]: one of"),
            (r#"{"parts": [{"text": "a", "weight": 0}]}"#, "parts[0].weight: 0"),
            (r#"{"parts": [{"text": "a", "weight": 1e39}]}"#, "parts[0].weight: inf"),
            (r#"{"text": "a", "k": -1}"#, "the body: "),
            (r#"{"text": "a", "q": 1}"#, "the body: unknown field `q`"),
            (r#"{"image": "http://a/b"}"#, "image: an address"),
        ] {
            let said_now = message(SearchRequest::of_body(body.as_bytes()));
            assert!(said_now.starts_with(said), "{body}: {said_now}");
        }
    }
}
