//! Quantities as Kubernetes has them: a number with a suffix, such as `1.5Gi` or `200m`. Numbers are
//! exact; how one is held decides whether it counts as an integer, so it is held as Kubernetes holds it.

use std::cmp::Ordering;
use std::fmt;

use crate::cel::decimal::{Decimal, TooLong};
use crate::cel::value::{Arena, Exhausted};

/// The finest fraction there is: a billionth.
const NANO: i64 = -9;
/// Digits that surely fit an `i64`.
const SHORT_DIGITS: i32 = 18;

/// An amount and the way it is written.
#[derive(Clone, Copy, Debug)]
pub struct Quantity<'a> {
    amount: Amount<'a>,
    notation: Notation,
    /// What it was read from, where that is how it is written.
    text: Option<&'a str>,
    /// Whether arithmetic made it. Kubernetes can compare such a quantity for equality with others,
    /// but not others with it.
    computed: bool,
}

#[derive(Clone, Copy, Debug)]
enum Amount<'a> {
    Short { value: i64, scale: i32 },
    Long { negative: bool, digits: &'a [u8], exponent: i64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Notation {
    /// `12e6`
    Exponent,
    /// `12Mi`
    Binary,
    /// `12M`
    Decimal,
}

/// Why a text is no quantity, or a sum cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QuantityError {
    Format,
    Number,
    Suffix,
    TooLong,
    Full,
}

/// Kubernetes' words.
impl fmt::Display for QuantityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            QuantityError::Format => {
                "quantities must match the regular expression \
                 '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
            }
            QuantityError::Number => "unable to parse numeric part of quantity",
            QuantityError::Suffix => "unable to parse quantity's suffix",
            QuantityError::TooLong => "quantity has too many digits",
            QuantityError::Full => "operation cancelled: memory limit exceeded",
        })
    }
}

impl From<TooLong> for QuantityError {
    fn from(_: TooLong) -> QuantityError {
        QuantityError::TooLong
    }
}

impl From<Exhausted> for QuantityError {
    fn from(_: Exhausted) -> QuantityError {
        QuantityError::Full
    }
}

/// The parts of the text of a quantity.
struct Parts<'t> {
    positive: bool,
    /// The number as it was written, sign included.
    number: &'t str,
    whole: &'t str,
    fraction: &'t str,
    suffix: &'t str,
}

impl<'t> Parts<'t> {
    fn of(text: &'t str) -> Result<Parts<'t>, QuantityError> {
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let positive = !text.starts_with('-');
        let significant = unsigned.trim_start_matches('0');
        if significant.is_empty() {
            return Ok(Parts { positive, number: "0", whole: "0", fraction: "", suffix: "" });
        }
        let (whole, rest) = leading_digits(significant);
        let (fraction, rest) = match rest.strip_prefix('.') {
            Some(rest) => leading_digits(rest),
            None => ("", rest),
        };
        let number = text.strip_suffix(rest).unwrap_or(text);
        let after = rest.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
        let after = after.strip_prefix(['-', '+']).unwrap_or(after);
        if !leading_digits(after).1.is_empty() {
            return Err(QuantityError::Format);
        }
        let whole = if whole.is_empty() { "0" } else { whole };
        Ok(Parts { positive, number, whole, fraction, suffix: rest })
    }
}

fn leading_digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

const DECIMAL_SUFFIXES: [(&str, i32); 10] = [
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("", 0),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
];

const BINARY_SUFFIXES: [(&str, i32); 6] =
    [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

fn read_suffix(suffix: &str) -> Result<(i32, Notation), QuantityError> {
    let known = |table: &[(&str, i32)]| {
        table.iter().find(|(known, _)| *known == suffix).map(|(_, exponent)| *exponent)
    };
    if let Some(exponent) = known(&DECIMAL_SUFFIXES) {
        return Ok((exponent, Notation::Decimal));
    }
    if let Some(exponent) = known(&BINARY_SUFFIXES) {
        return Ok((exponent, Notation::Binary));
    }
    let exponent = suffix.strip_prefix(['e', 'E']).and_then(|digits| digits.parse::<i64>().ok());
    // Go keeps the low half of what does not fit.
    exponent.map(|exponent| (exponent as i32, Notation::Exponent)).ok_or(QuantityError::Suffix)
}

impl<'a> Quantity<'a> {
    /// Reads a quantity.
    pub(crate) fn parse(text: &'a str, arena: &'a Arena) -> Result<Quantity<'a>, QuantityError> {
        if text.is_empty() {
            return Err(QuantityError::Format);
        }
        let parts = Parts::of(text)?;
        let (exponent, notation) = read_suffix(parts.suffix)?;
        match Quantity::parse_short(text, &parts, exponent, notation)? {
            Some(quantity) => Ok(quantity),
            None => Quantity::parse_long(&parts, exponent, notation, arena),
        }
    }

    /// Whether the text is a quantity, however long.
    pub(crate) fn is_valid(text: &str) -> bool {
        let read = Quantity::parse(text, &Arena::new()).map(|_| ());
        matches!(read, Ok(()) | Err(QuantityError::TooLong | QuantityError::Full))
    }

    fn parse_short(
        text: &'a str,
        parts: &Parts<'_>,
        exponent: i32,
        notation: Notation,
    ) -> Result<Option<Quantity<'a>>, QuantityError> {
        let count = |digits: &str| i32::try_from(digits.len()).unwrap_or(i32::MAX);
        let (whole, fraction) = (count(parts.whole), count(parts.fraction));
        let (precision, scale, factor) = match notation {
            Notation::Binary if parts.fraction.is_empty() => {
                let digits = exponent * 3 / 10;
                (15_i32.saturating_sub(whole) - digits - 1, 0, 1_i64 << exponent)
            }
            Notation::Binary => return Ok(None),
            _ => (SHORT_DIGITS.saturating_sub(whole).saturating_sub(fraction), exponent, 1),
        };
        let scale = scale.wrapping_sub(fraction);
        if precision < 0 || i64::from(scale) < NANO {
            return Ok(None);
        }
        let mut digits = parts.whole.to_owned();
        digits.push_str(parts.fraction);
        let read: i64 = digits.parse().map_err(|_| QuantityError::Number)?;
        let Some(value) = read.checked_mul(factor) else { return Ok(None) };
        let canonical = match notation {
            Notation::Binary => read & 7 != 0,
            _ => scale % 3 == 0 && !digits.ends_with("000") && !digits.starts_with('0'),
        };
        let value = if parts.positive { value } else { -value };
        let text = (canonical || text == "0").then_some(text);
        let amount = Amount::Short { value, scale };
        Ok(Some(Quantity { amount, notation, text, computed: false }))
    }

    fn parse_long(
        parts: &Parts<'_>,
        exponent: i32,
        notation: Notation,
        arena: &'a Arena,
    ) -> Result<Quantity<'a>, QuantityError> {
        let number = parts.number.strip_prefix(['-', '+']).unwrap_or(parts.number);
        let significant = number.trim_start_matches('0');
        if significant.len() > crate::cel::decimal::DIGITS_MAX {
            return Err(QuantityError::TooLong);
        }
        let digits = number.bytes().filter(u8::is_ascii_digit).map(|digit| digit - b'0').collect();
        let scale = -(parts.fraction.len() as i64);
        let mut amount = if notation == Notation::Binary {
            Decimal::new(false, digits, scale).times(1 << exponent)?
        } else {
            Decimal::new(false, digits, scale + i64::from(exponent))
        };
        if !amount.is_zero() {
            amount = amount.rounded_to(NANO)?;
        }
        let mut notation = notation;
        if notation == Notation::Binary {
            let greatest = Decimal::of(i64::MAX, 0);
            if amount.compare(&greatest).is_gt() {
                amount = greatest;
            }
            if amount.sign() > 0 && amount.compare(&Decimal::of(1, 0)).is_lt() {
                notation = Notation::Decimal;
            }
        }
        let amount = if parts.positive { amount } else { amount.negated() };
        Ok(Quantity {
            amount: Amount::keep(&amount, arena)?,
            notation,
            text: None,
            computed: false,
        })
    }

    /// A whole number, written with an exponent.
    pub(crate) fn of(value: i64) -> Quantity<'a> {
        let amount = Amount::Short { value, scale: 0 };
        Quantity { amount, notation: Notation::Exponent, text: None, computed: false }
    }

    pub(crate) fn sign(&self) -> i64 {
        match self.amount {
            Amount::Short { value, .. } => value.signum(),
            Amount::Long { .. } => self.amount.decimal().sign(),
        }
    }

    /// The value as an integer, if it is held as one and fits.
    pub(crate) fn as_integer(&self) -> Option<i64> {
        match self.amount {
            Amount::Short { value, scale } => {
                u32::try_from(scale).ok().and_then(|scale| scaled(value, scale))
            }
            Amount::Long { .. } => None,
        }
    }

    /// The value as a double, rounded as Kubernetes rounds it.
    pub(crate) fn as_double(&self) -> f64 {
        let (base, exponent) = match self.amount {
            Amount::Short { value, scale } => (value as f64, i64::from(scale)),
            Amount::Long { exponent, .. } => (self.amount.decimal().digits_as_double(), exponent),
        };
        if exponent == 0 { base } else { base * power_of_ten(exponent) }
    }

    pub(crate) fn compare(&self, other: &Quantity<'_>) -> Ordering {
        if let (
            Amount::Short { value: one, scale: one_scale },
            Amount::Short { value: two, scale: two_scale },
        ) = (self.amount, other.amount)
        {
            let apart = i64::from(one_scale) - i64::from(two_scale);
            let raised =
                |value: i64, by: i64| i128::from(value) * 10_i128.pow(by.clamp(0, 18) as u32);
            if apart.abs() <= 18 {
                return raised(one, apart).cmp(&raised(two, -apart));
            }
        }
        self.amount.decimal().compare(&other.amount.decimal())
    }

    /// Whether Kubernetes finds this quantity, on the left, equal to the other.
    pub(crate) fn equality(&self, other: &Quantity<'_>) -> Option<bool> {
        (!other.computed).then(|| self.compare(other).is_eq())
    }

    pub(crate) fn plus(
        &self,
        other: &Quantity<'a>,
        arena: &'a Arena,
    ) -> Result<Quantity<'a>, QuantityError> {
        self.sum(other, false, arena)
    }

    pub(crate) fn minus(
        &self,
        other: &Quantity<'a>,
        arena: &'a Arena,
    ) -> Result<Quantity<'a>, QuantityError> {
        self.sum(other, true, arena)
    }

    fn sum(
        &self,
        other: &Quantity<'a>,
        subtract: bool,
        arena: &'a Arena,
    ) -> Result<Quantity<'a>, QuantityError> {
        let notation = if self.sign() == 0 { other.notation } else { self.notation };
        let made = |amount| Quantity { amount, notation, text: None, computed: true };
        if let (
            Amount::Short { value: one, scale: one_scale },
            Amount::Short { value: two, scale: two_scale },
        ) = (self.amount, other.amount)
        {
            let two = if subtract { two.wrapping_neg() } else { two };
            if let Some((value, scale)) = short_sum((one, one_scale), (two, two_scale)) {
                return Ok(made(Amount::Short { value, scale }));
            }
        }
        let two = other.amount.decimal();
        let two = if subtract { two.negated() } else { two };
        let sum = self.amount.decimal().plus(&two)?;
        Ok(made(Amount::keep(&sum, arena)?))
    }
}

fn short_sum(one: (i64, i32), two: (i64, i32)) -> Option<(i64, i32)> {
    if two.0 == 0 {
        return Some(one);
    }
    if one.0 == 0 {
        return Some(two);
    }
    let apart = |high: i32, low: i32| u32::try_from(i64::from(high) - i64::from(low)).ok();
    let scale = one.1.min(two.1);
    let one = scaled(one.0, apart(one.1, scale)?)?;
    let two = scaled(two.0, apart(two.1, scale)?)?;
    Some((one.checked_add(two)?, scale))
}

/// A number times a power of ten.
fn scaled(value: i64, scale: u32) -> Option<i64> {
    if value == 0 { Some(0) } else { value.checked_mul(10_i64.checked_pow(scale)?) }
}

/// A power of ten as Go's `math.Pow10` rounds it: of two factors.
fn power_of_ten(exponent: i64) -> f64 {
    let exact = |exponent: i64| format!("1e{exponent}").parse::<f64>().unwrap_or(0.0);
    match exponent {
        0..=308 => exact(exponent / 32 * 32) * exact(exponent % 32),
        -323..=-1 => exact(-(-exponent / 32 * 32)) / exact(-exponent % 32),
        309.. => f64::INFINITY,
        _ => 0.0,
    }
}

impl<'a> Amount<'a> {
    fn keep(decimal: &Decimal, arena: &'a Arena) -> Result<Amount<'a>, Exhausted> {
        let digits = arena.octets(&decimal.digits)?;
        Ok(Amount::Long { negative: decimal.negative, digits, exponent: decimal.exponent })
    }

    fn decimal(self) -> Decimal {
        match self {
            Amount::Short { value, scale } => Decimal::of(value, i64::from(scale)),
            Amount::Long { negative, digits, exponent } => {
                Decimal { negative, digits: digits.to_vec(), exponent }
            }
        }
    }
}

/// As Kubernetes writes it: in its own notation where that loses nothing.
impl fmt::Display for Quantity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = self.text {
            return f.write_str(text);
        }
        let mut amount = self.amount.decimal();
        if amount.is_zero() {
            return f.write_str("0");
        }
        let sign = if amount.negative { "-" } else { "" };
        if self.notation == Notation::Binary
            && let Some((digits, times)) = binary(&amount)
        {
            let suffix = suffix_of(&BINARY_SUFFIXES, times * 10);
            return write!(f, "{sign}{digits}{suffix}");
        }
        while let Some(tenth) = amount.divided_exactly(10) {
            amount = Decimal { exponent: amount.exponent + 1, ..tenth };
        }
        while amount.exponent % 3 != 0 {
            amount.digits.push(0);
            amount.exponent -= 1;
        }
        write!(f, "{sign}{}", amount.digits_text())?;
        match (self.notation, amount.exponent) {
            (Notation::Exponent, 0) => Ok(()),
            (Notation::Exponent, exponent) => write!(f, "e{exponent}"),
            // Kubernetes has no suffix for what is larger, and writes none.
            (_, exponent) => f.write_str(suffix_of(&DECIMAL_SUFFIXES, exponent)),
        }
    }
}

/// The digits of a whole number of at least 1024, factors of 1024 taken out, and how many those were.
fn binary(amount: &Decimal) -> Option<(String, i64)> {
    let least = Decimal { negative: amount.negative, ..Decimal::of(1024, 0) };
    let small = match amount.compare(&least) {
        Ordering::Less => !amount.negative,
        Ordering::Greater => amount.negative,
        Ordering::Equal => false,
    };
    let whole = amount.rounded_to(0).ok()?;
    if small || whole.compare(amount).is_ne() {
        return None;
    }
    let (mut rest, mut times) = (whole, 0);
    while let Some(quotient) = rest.divided_exactly(1024) {
        rest = quotient;
        times += 1;
    }
    Some((rest.digits_text(), times))
}

fn suffix_of(table: &[(&'static str, i32)], exponent: i64) -> &'static str {
    table.iter().find(|(_, known)| i64::from(*known) == exponent).map_or("", |(suffix, _)| suffix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let arena = Arena::new();
        let seen = match Quantity::parse(text, &arena) {
            Ok(quantity) => quantity.to_string(),
            Err(error) => format!("{error:?}"),
        };
        assert_eq!(seen, expect, "{text}");
    }

    #[test]
    fn quantities_are_read_and_written() {
        for (text, expect) in [
            ("0", "0"),
            ("1.5Gi", "1536Mi"),
            ("1000m", "1"),
            ("0.5Ki", "512"),
            ("1Pi", "1Pi"),
            ("100Ei", "9223372036854775807"),
            ("1e3", "1e3"),
            ("1E3", "1E3"),
            ("1E", "1E"),
            ("-200m", "-200m"),
            ("0.0000000001", "1n"),
            ("12345678901234567890", "12345678901234567890"),
            ("1K", "Suffix"),
            ("", "Format"),
            ("one", "Format"),
            ("1.2.3", "Format"),
        ] {
            check(text, expect);
        }
    }
}
