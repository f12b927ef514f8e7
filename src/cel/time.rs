//! Instants and lengths of time: their texts, their limits, and the calendar. Nothing here reads a
//! clock.

use std::cmp::Ordering;
use std::fmt;

use jiff::tz::TimeZone;

/// Seconds from 1970 to `0001-01-01T00:00:00Z`, the first instant there is.
const SECONDS_MIN: i64 = -62_135_596_800;
/// Seconds from 1970 to `9999-12-31T23:59:59Z`, the last second there is.
const SECONDS_MAX: i64 = 253_402_300_799;

const DAY: i64 = 86_400;

/// An instant between the years 1 and 9999, to the nanosecond. It remembers the offset that it was
/// written with, which only its text shows.
#[derive(Clone, Copy, Debug)]
pub struct Timestamp {
    seconds: i64,
    nanos: u32,
    /// Seconds east of UTC.
    offset: i32,
}

impl Timestamp {
    fn key(self) -> (i64, u32) {
        (self.seconds, self.nanos)
    }

    /// Whether Go takes both for the same key of a map: also the offset counts, and of one that is not of whole hours Go
    /// makes another each time.
    pub(crate) fn is_written_as(self, other: Timestamp) -> bool {
        self == other && self.offset == other.offset && self.offset % 3600 == 0
    }
}

impl PartialEq for Timestamp {
    fn eq(&self, other: &Timestamp) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Timestamp {}

impl PartialOrd for Timestamp {
    fn partial_cmp(&self, other: &Timestamp) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timestamp {
    fn cmp(&self, other: &Timestamp) -> Ordering {
        self.key().cmp(&other.key())
    }
}

/// A length of time in nanoseconds: up to about 292 years, as Go has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub i64);

/// An instant as a calendar and a clock show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Civil {
    pub year: i64,
    /// From 1.
    pub month: i64,
    /// From 1.
    pub day: i64,
    /// From 1.
    pub day_of_year: i64,
    /// From 0, which is Sunday.
    pub weekday: i64,
    pub hour: i64,
    pub minute: i64,
    pub second: i64,
    pub millisecond: i64,
}

impl Timestamp {
    /// Seconds and nanoseconds since 1970, if that lies within the limits.
    pub fn new(seconds: i64, nanos: u32) -> Option<Timestamp> {
        let valid = (SECONDS_MIN..=SECONDS_MAX).contains(&seconds) && nanos < 1_000_000_000;
        valid.then_some(Timestamp { seconds, nanos, offset: 0 })
    }

    /// Seconds since 1970, the fraction cut off.
    pub fn seconds(self) -> i64 {
        self.seconds
    }

    /// Reads RFC 3339, as Go does.
    pub fn parse(text: &str) -> Option<Timestamp> {
        let mut reader = Reader { rest: text };
        let year = reader.digits(4)?;
        reader.take('-')?;
        let month = reader.digits(2)?;
        reader.take('-')?;
        let day = reader.digits(2)?;
        reader.take('T')?;
        // Go takes an hour of one digit.
        let hour = reader.digits(2).or_else(|| reader.digits(1))?;
        reader.take(':')?;
        let minute = reader.digits(2)?;
        reader.take(':')?;
        let second = reader.digits(2)?;
        let nanos = reader.fraction()?;
        let offset = reader.offset()?;
        let valid = reader.rest.is_empty()
            && (1..=12).contains(&month)
            && (1..=days_in_month(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        if !valid {
            return None;
        }
        let days = days_from_civil(year, month, day);
        let seconds = days * DAY + hour * 3600 + minute * 60 + second - offset;
        Some(Timestamp { offset: offset as i32, ..Timestamp::new(seconds, nanos)? })
    }

    /// The instant after a length of time.
    pub(crate) fn plus(self, length: Duration) -> Option<Timestamp> {
        let nanos = i128::from(self.seconds) * 1_000_000_000
            + i128::from(self.nanos)
            + i128::from(length.0);
        Some(Timestamp { offset: self.offset, ..Timestamp::of_nanos(nanos)? })
    }

    fn of_nanos(nanos: i128) -> Option<Timestamp> {
        let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?;
        Timestamp::new(seconds, nanos.rem_euclid(1_000_000_000) as u32)
    }

    /// The length of time from another instant to this one.
    pub(crate) fn since(self, other: Timestamp) -> Option<Duration> {
        // The seconds have to fit by themselves.
        let seconds = (self.seconds - other.seconds).checked_mul(1_000_000_000)?;
        seconds.checked_add(i64::from(self.nanos) - i64::from(other.nanos)).map(Duration)
    }

    /// Whether it is the first instant there is, which is Go's zero.
    pub(crate) fn is_zero(self) -> bool {
        self.key() == (SECONDS_MIN, 0)
    }

    /// RFC 3339 in UTC.
    pub fn utc_text(self) -> String {
        Timestamp { offset: 0, ..self }.to_string()
    }

    /// What calendar and clock show in UTC.
    pub(crate) fn utc(self) -> Civil {
        self.at_offset(0)
    }

    /// What they show in a time zone: a name of the IANA database, or an offset such as `-08:00`.
    pub(crate) fn in_zone(self, zone: &str) -> Option<Civil> {
        if let Some((hours, minutes)) = zone.split_once(':') {
            let is_west = hours.starts_with('-');
            let hours: i64 = hours.parse().ok()?;
            let minutes: i64 = minutes.parse().ok()?;
            let minutes = if is_west { hours * 60 - minutes } else { hours * 60 + minutes };
            return (minutes.abs() < 24 * 60 * 10).then(|| self.at_offset(minutes * 60));
        }
        // Go's `Local` is the zone of the server, which the API server runs in UTC.
        if zone.is_empty() || zone == "Local" {
            return Some(self.utc());
        }
        let zone = TimeZone::get(zone).ok().filter(|known| known.iana_name() == Some(zone))?;
        // The last day is beyond what the database of zones knows, which says the same of the day before.
        let second = self.seconds.min(jiff::Timestamp::MAX.as_second());
        let instant = jiff::Timestamp::from_second(second).ok()?;
        Some(self.at_offset(i64::from(zone.to_offset(instant).seconds())))
    }

    fn at_offset(self, offset: i64) -> Civil {
        let local = self.seconds + offset;
        let (days, clock) = (local.div_euclid(DAY), local.rem_euclid(DAY));
        let (year, month, day) = civil_from_days(days);
        Civil {
            year,
            month,
            day,
            day_of_year: days - days_from_civil(year, 1, 1) + 1,
            weekday: (days + 4).rem_euclid(7),
            hour: clock / 3600,
            minute: clock / 60 % 60,
            second: clock % 60,
            millisecond: i64::from(self.nanos) / 1_000_000,
        }
    }
}

/// RFC 3339 with the offset that it was written with, and as many digits as the fraction needs.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil { year, month, day, hour, minute, second, .. } =
            self.at_offset(i64::from(self.offset));
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if self.nanos != 0 {
            let digits = format!("{:09}", self.nanos);
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        if self.offset == 0 {
            return f.write_str("Z");
        }
        let (sign, minutes) = (if self.offset < 0 { '-' } else { '+' }, self.offset.abs() / 60);
        write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

impl Duration {
    /// Reads what Go writes: `1h30m`, `-1.5s`, `0`.
    pub fn parse(text: &str) -> Option<Duration> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if digits == "0" {
            return Some(Duration(0));
        }
        let mut reader = Reader { rest: digits };
        let mut nanos: i128 = 0;
        loop {
            let (whole, whole_digits) = reader.number();
            let dot = reader.take('.').is_some();
            let fraction = if dot { reader.leading_digits() } else { "" };
            if whole_digits + fraction.len() == 0 {
                return None;
            }
            let unit = reader.unit()?;
            nanos = nanos.checked_add(whole.checked_mul(unit)?)?;
            // More digits than a nanosecond has of an hour do not matter.
            let fraction = fraction.get(..18.min(fraction.len())).unwrap_or("");
            if let Ok(value) = fraction.parse::<i128>() {
                nanos += value * unit / 10_i128.pow(fraction.len() as u32);
            }
            if reader.rest.is_empty() {
                break;
            }
        }
        let nanos = if negative { -nanos } else { nanos };
        i64::try_from(nanos).ok().map(Duration)
    }
}

/// Seconds with as many digits as are needed, as CEL converts durations to strings.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        write!(f, "{}s", whole as f64 + fraction as f64 / 1e9)
    }
}

struct Reader<'t> {
    rest: &'t str,
}

impl<'t> Reader<'t> {
    fn take(&mut self, wanted: char) -> Option<()> {
        self.rest = self.rest.strip_prefix(wanted)?;
        Some(())
    }

    fn digits(&mut self, count: usize) -> Option<i64> {
        let text = self.rest.get(..count)?;
        text.bytes().all(|c| c.is_ascii_digit()).then_some(())?;
        self.rest = self.rest.get(count..)?;
        text.parse().ok()
    }

    fn leading_digits(&mut self) -> &'t str {
        let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        self.rest = rest;
        digits
    }

    /// A whole number and how many digits it had; too large ones saturate.
    fn number(&mut self) -> (i128, usize) {
        let digits = self.leading_digits();
        (digits.parse().unwrap_or(if digits.is_empty() { 0 } else { i128::MAX }), digits.len())
    }

    fn unit(&mut self) -> Option<i128> {
        const UNITS: [(&str, i128); 8] = [
            ("ns", 1),
            ("us", 1_000),
            ("\u{b5}s", 1_000),
            ("\u{3bc}s", 1_000),
            ("ms", 1_000_000),
            ("s", 1_000_000_000),
            ("m", 60_000_000_000),
            ("h", 3_600_000_000_000),
        ];
        let end = self.rest.find(|c: char| c == '.' || c.is_ascii_digit());
        let (name, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        UNITS.iter().find(|(unit, _)| *unit == name).map(|(_, nanos)| *nanos)
    }

    fn fraction(&mut self) -> Option<u32> {
        if self.take('.').or_else(|| self.take(',')).is_none() {
            return Some(0);
        }
        let digits = self.leading_digits();
        let kept = digits.get(..9.min(digits.len())).filter(|kept| !kept.is_empty())?;
        Some(kept.parse::<u32>().ok()? * 10_u32.pow(9 - kept.len() as u32))
    }

    /// Seconds east of UTC.
    fn offset(&mut self) -> Option<i64> {
        if self.take('Z').is_some() {
            return Some(0);
        }
        let sign = match self.take('-') {
            Some(()) => -1,
            None => self.take('+').map(|()| 1)?,
        };
        let hours = self.digits(2)?;
        self.take(':')?;
        let minutes = self.digits(2)?;
        (hours <= 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01, by counting years from March, so that the leap day comes last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = (shifted + 2) % 12 + 1;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_and_written() {
        for (text, expect) in [
            ("2009-02-13T23:31:30Z", Some("2009-02-13T23:31:30Z")),
            ("2009-02-13T23:31:30.250+01:00", Some("2009-02-13T23:31:30.25+01:00")),
            ("0001-01-01T00:00:00Z", Some("0001-01-01T00:00:00Z")),
            ("9999-12-31T23:59:59.999999999Z", Some("9999-12-31T23:59:59.999999999Z")),
            ("0001-01-01T00:00:00+01:00", None),
            ("2023-02-29T00:00:00Z", None),
            ("2024-02-29T00:00:00Z", Some("2024-02-29T00:00:00Z")),
            ("2024-01-01", None),
            ("2024-01-01T00:00:60Z", None),
        ] {
            let seen = Timestamp::parse(text).map(|instant| instant.to_string());
            assert_eq!(seen.as_deref(), expect, "{text}");
        }
    }

    #[test]
    fn lengths_are_read_and_written() {
        for (text, expect) in [
            ("1h30m", Some("5400s")),
            ("-1.5s", Some("-1.5s")),
            ("1ms", Some("0.001s")),
            (".5h", Some("1800s")),
            ("0", Some("0s")),
            ("1", None),
            ("", None),
            ("1x", None),
            ("3200000h", None),
            (".s", None),
        ] {
            let seen = Duration::parse(text).map(|length| length.to_string());
            assert_eq!(seen.as_deref(), expect, "{text}");
        }
    }

    #[test]
    fn the_calendar_agrees_with_itself() {
        for days in (-719_162..2_932_896).step_by(97) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
    }

    #[test]
    fn zones_have_names_and_offsets() {
        let instant = Timestamp::parse("2009-02-13T23:31:30Z").unwrap();
        for (zone, expect) in [
            ("UTC", Some(23)),
            ("America/Los_Angeles", Some(15)),
            ("-08:00", Some(15)),
            ("02:00", Some(1)),
            ("-0:30", Some(23)),
            ("-0:32", Some(22)),
            ("utc", None),
            ("america/los_angeles", None),
            ("Nowhere/At_All", None),
        ] {
            assert_eq!(instant.in_zone(zone).map(|civil| civil.hour), expect, "{zone}");
        }
    }
}
