//! The options that say which pictures of an index are searched.

use crate::index::{Filter, PathPattern};
use chrono::{DateTime, Local, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone};
use clap::Args;

/// The longest leap of a clock in quarters of an hour: a day of Samoa's, when it crossed the date line.
const LONGEST_LEAP: i32 = 24 * 4;

/// Which pictures are searched.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Filters")]
pub(super) struct Filters {
    /// Search only among pictures with such a path; of several patterns, one must match
    ///
    /// As in a .gitignore, a pattern with a / is one of the path below the folder of pictures, and one without is one of
    /// any name in it; a folder that matches stands for all that is in it. * and ? stand for parts of a name, ** for any
    /// folders, [ab] for one of these characters. Case does not matter.
    #[arg(long, value_name = "PATTERN")]
    path: Vec<PathPattern>,
    /// Leave out pictures with such a path
    #[arg(long, value_name = "PATTERN")]
    not_path: Vec<PathPattern>,
    /// Search only among files that were last changed at this time or later
    ///
    /// 2026-01-31 is the beginning of that day, 2026-01-31T18:30 a time of it, both by the clock of this computer;
    /// 2026-01-31T18:30Z and 2026-01-31T18:30+02:00 say their time zone. What counts is when a file had been changed last as
    /// the index read it.
    #[arg(long, value_name = "DATE", value_parser = time)]
    after: Option<i64>,
    /// Search only among files that were last changed before this time
    #[arg(long, value_name = "DATE", value_parser = time)]
    before: Option<i64>,
    /// Show only pictures whose cosine is this or higher
    #[arg(long, value_name = "COSINE", value_parser = cosine, allow_negative_numbers = true)]
    pub above: Option<f32>,
}

impl Filters {
    /// Returns what the index is to filter by.
    pub(super) fn filter(&self) -> Filter {
        let Filters { path, not_path, after, before, above: _ } = self;
        Filter { paths: path.clone(), not_paths: not_path.clone(), after: *after, before: *before }
    }
}

/// Reads a cosine.
pub(crate) fn cosine(text: &str) -> Result<f32, String> {
    text.parse().ok().filter(|cosine| (-1.0..=1.0).contains(cosine)).ok_or_else(|| "not a number from -1 to 1".into())
}

/// Reads a time in nanoseconds since 1970.
pub(crate) fn time(text: &str) -> Result<i64, String> {
    let text = text.replacen(' ', "T", 1);
    let zoned = DateTime::parse_from_rfc3339(&text).or_else(|_| DateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M%#z"));
    let utc = text.strip_suffix('Z').and_then(|text| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M").ok());
    let local = || {
        let date = NaiveDate::parse_from_str(&text, "%Y-%m-%d").map(|date| date.and_time(NaiveTime::MIN));
        let time = |format| NaiveDateTime::parse_from_str(&text, format);
        date.or_else(|_| time("%Y-%m-%dT%H:%M")).or_else(|_| time("%Y-%m-%dT%H:%M:%S")).ok().and_then(by_clock)
    };
    let moment = zoned.ok().map(|time| time.to_utc()).or_else(|| utc.map(|time| time.and_utc())).or_else(local);
    let moment = moment.ok_or("not a date such as 2026-01-31, 2026-01-31T18:30 or 2026-01-31T18:30Z")?;
    moment.timestamp_nanos_opt().ok_or_else(|| "before 1678 or after 2261".into())
}

/// Returns when the clock of this computer shows a time: first, if it does twice, and right after a leap over it.
fn by_clock(time: NaiveDateTime) -> Option<DateTime<chrono::Utc>> {
    let quarters = (0..=LONGEST_LEAP).filter_map(|i| time.checked_add_signed(TimeDelta::minutes(15 * i64::from(i))));
    quarters.filter_map(|time| Local.from_local_datetime(&time).earliest()).next().map(|time| time.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_their_zone_or_of_the_clock() {
        let seconds = |text: &str| time(text).unwrap() / 1_000_000_000;
        assert_eq!(seconds("1970-01-02T00:00Z"), 86400);
        assert_eq!(seconds("1970-01-02T00:00:01Z"), 86401);
        assert_eq!(seconds("1970-01-02T02:00+02:00"), 86400);
        assert_eq!(seconds("1970-01-02 02:00:07.5+02:00"), 86407);
        assert_eq!(time("1969-12-31T23:59:59.5Z").unwrap(), -500_000_000);
        let here = |text: &str| by_clock(text.parse().unwrap()).unwrap().timestamp();
        assert_eq!(seconds("2026-01-31"), here("2026-01-31T00:00:00"));
        assert_eq!(seconds("2026-01-31T18:30"), here("2026-01-31T18:30:00"));
        for bad in ["", "yesterday", "2026-13-01", "2026-02-30", "31.1.2026", "2026-01-31T25:00", "2026", "1-1-1-"] {
            assert!(time(bad).unwrap_err().contains("2026-01-31"), "{bad}");
        }
        assert!(time("1500-01-01").unwrap_err().contains("1678"));
    }

    #[test]
    fn cosines_are_numbers_from_minus_one_to_one() {
        assert_eq!((cosine("0.25"), cosine("-1")), (Ok(0.25), Ok(-1.0)));
        assert!(["1.1", "nan", "inf", "x"].iter().all(|bad| cosine(bad).is_err()));
    }
}
