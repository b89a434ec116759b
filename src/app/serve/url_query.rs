//! What stands behind the question mark of an address.

use super::reply::Fault;
use std::fmt::Display;
use std::str::FromStr;

/// The names and values of an address, from which handlers take what they know.
pub(super) struct UrlQuery(Vec<(String, String)>);

impl UrlQuery {
    pub fn parse(text: &str) -> Self {
        UrlQuery(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// Takes all values of a name, in order.
    pub fn all(&mut self, name: &str) -> Vec<String> {
        self.0.extract_if(.., |(known, _)| known == name).map(|(_, value)| value).collect()
    }

    /// Takes the value of a name.
    ///
    /// # Errors
    /// Returns a fault if there are several.
    pub fn one(&mut self, name: &str) -> Result<Option<String>, Fault> {
        let mut values = self.all(name);
        if values.len() > 1 {
            return Err(Fault::field(name, "there more than once"));
        }
        Ok(values.pop())
    }

    /// Takes the number of a name.
    ///
    /// # Errors
    /// Returns a fault if it is no such number.
    pub fn number<T: FromStr<Err: Display>>(&mut self, name: &str) -> Result<Option<T>, Fault> {
        let parse = |value: String| value.parse().map_err(|error| Fault::field(name, format!("{value:?}: {error}")));
        self.one(name)?.map(parse).transpose()
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// Returns a fault that names the first thing that nobody took.
    pub fn end(self) -> Result<(), Fault> {
        self.0.first().map_or(Ok(()), |(name, _)| Err(Fault::field(name, "not known here")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_takes_is_named() {
        let mut query = UrlQuery::parse("q=a+red%20car&path=x&path=%C3%A9&k=7&n=x");
        assert_eq!(query.one("q").unwrap().as_deref(), Some("a red car"));
        assert_eq!(query.all("path"), ["x", "é"]);
        assert_eq!(query.number::<u32>("k").unwrap(), Some(7));
        assert_eq!(query.number::<u32>("absent").unwrap(), None);
        assert!(UrlQuery::parse("k=1&k=2").number::<u32>("k").unwrap_err().message.contains("more than once"));
        assert!(UrlQuery::parse("k=-1").number::<u32>("k").unwrap_err().message.contains("\"-1\""));
        assert!(query.end().unwrap_err().message.starts_with("n: not known"));
    }
}
