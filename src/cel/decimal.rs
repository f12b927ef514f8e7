//! Exact decimals of any size up to a limit. Nothing here knows of quantities.

use std::cmp::Ordering;

/// How many digits a decimal may have: far more than anything that is counted in a cluster, and few
/// enough that arithmetic, which costs 1 however long it takes, stays quick.
pub(crate) const DIGITS_MAX: usize = 1024;

/// A number has more digits than [`DIGITS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// A decimal: digits from 0 to 9 from the most significant one, which is not 0, and the power of ten
/// that the last one stands at. Zero has no digits.
#[derive(Clone, Debug)]
pub(crate) struct Decimal {
    pub negative: bool,
    pub digits: Vec<u8>,
    pub exponent: i64,
}

impl Decimal {
    /// A whole number at a power of ten.
    pub fn of(value: i64, exponent: i64) -> Decimal {
        let digits = value.unsigned_abs().to_string().into_bytes();
        Decimal::new(value < 0, digits.iter().map(|digit| digit - b'0').collect(), exponent)
    }

    /// These digits, of which the first may be 0.
    pub fn new(negative: bool, mut digits: Vec<u8>, exponent: i64) -> Decimal {
        let zeros = digits.iter().take_while(|digit| **digit == 0).count();
        digits.drain(..zeros);
        Decimal { negative: negative && !digits.is_empty(), digits, exponent }
    }

    pub fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    /// -1, 0 or 1.
    pub fn sign(&self) -> i64 {
        match (self.is_zero(), self.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        }
    }

    pub fn compare(&self, other: &Decimal) -> Ordering {
        match (self.sign(), other.sign()) {
            (-1, -1) => other.compare_magnitude(self),
            (1, 1) => self.compare_magnitude(other),
            (one, two) => one.cmp(&two),
        }
    }

    fn compare_magnitude(&self, other: &Decimal) -> Ordering {
        let height = |decimal: &Decimal| decimal.exponent + decimal.digits.len() as i64;
        let length = self.digits.len().max(other.digits.len());
        let padded = |decimal: &Decimal, at| decimal.digits.get(at).copied().unwrap_or(0);
        height(self).cmp(&height(other)).then_with(|| {
            (0..length)
                .map(|at| padded(self, at).cmp(&padded(other, at)))
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        })
    }

    /// The same number with its last digit at a lower power of ten.
    fn lowered(&self, exponent: i64) -> Result<Vec<u8>, TooLong> {
        let zeros = usize::try_from(self.exponent - exponent).map_err(|_| TooLong)?;
        if self.digits.len().saturating_add(zeros) > DIGITS_MAX && !self.is_zero() {
            return Err(TooLong);
        }
        let zeros = if self.is_zero() { 0 } else { zeros };
        Ok(self.digits.iter().copied().chain(std::iter::repeat_n(0, zeros)).collect())
    }

    /// The number with its last digit at this power of ten; what is below it is rounded away from 0.
    pub fn rounded_to(&self, exponent: i64) -> Result<Decimal, TooLong> {
        if exponent <= self.exponent {
            return Ok(Decimal::new(self.negative, self.lowered(exponent)?, exponent));
        }
        let cut = usize::try_from(exponent - self.exponent).map_err(|_| TooLong)?;
        let kept = self.digits.len().saturating_sub(cut);
        let (high, low) = self.digits.split_at(kept);
        let mut digits = high.to_vec();
        if low.iter().any(|digit| *digit != 0) {
            increment(&mut digits);
        }
        Ok(Decimal::new(self.negative, digits, exponent))
    }

    /// The sum; its last digit is at the lower of the two powers of ten.
    pub fn plus(&self, other: &Decimal) -> Result<Decimal, TooLong> {
        let exponent = self.exponent.min(other.exponent);
        let (one, two) = (self.lowered(exponent)?, other.lowered(exponent)?);
        if self.negative == other.negative {
            return Ok(Decimal::new(self.negative, add(&one, &two), exponent));
        }
        let order = self.compare_magnitude(other);
        // Zero has no height to compare.
        let larger =
            if self.is_zero() || (order.is_lt() && !other.is_zero()) { other } else { self };
        let (high, low) = if std::ptr::eq(larger, self) { (one, two) } else { (two, one) };
        Ok(Decimal::new(larger.negative, subtract(&high, &low), exponent))
    }

    pub fn negated(mut self) -> Decimal {
        self.negative = !self.negative && !self.is_zero();
        self
    }

    /// The number times a factor that fits 62 bits.
    pub fn times(&self, factor: u64) -> Result<Decimal, TooLong> {
        let mut carry = 0_u128;
        let mut digits: Vec<u8> = Vec::with_capacity(self.digits.len() + 20);
        for digit in self.digits.iter().rev() {
            carry += u128::from(*digit) * u128::from(factor);
            digits.push((carry % 10) as u8);
            carry /= 10;
        }
        while carry > 0 {
            digits.push((carry % 10) as u8);
            carry /= 10;
        }
        digits.reverse();
        if digits.len() > DIGITS_MAX {
            return Err(TooLong);
        }
        Ok(Decimal::new(self.negative, digits, self.exponent))
    }

    /// The digits divided by a small number, if nothing is left over.
    pub fn divided_exactly(&self, divisor: u32) -> Option<Decimal> {
        let mut rest = 0_u32;
        let mut digits = Vec::with_capacity(self.digits.len());
        for digit in &self.digits {
            rest = rest * 10 + u32::from(*digit);
            digits.push((rest / divisor) as u8);
            rest %= divisor;
        }
        (rest == 0).then(|| Decimal::new(self.negative, digits, self.exponent))
    }

    /// The digits without regard to the power of ten, as a double.
    pub fn digits_as_double(&self) -> f64 {
        let magnitude = self.digits_text().parse().unwrap_or(f64::INFINITY);
        if self.negative { -magnitude } else { magnitude }
    }

    /// The digits as text, without a sign.
    pub fn digits_text(&self) -> String {
        if self.is_zero() {
            return "0".to_owned();
        }
        self.digits.iter().map(|digit| char::from(b'0' + digit)).collect()
    }
}

fn increment(digits: &mut Vec<u8>) {
    for digit in digits.iter_mut().rev() {
        if *digit < 9 {
            *digit += 1;
            return;
        }
        *digit = 0;
    }
    digits.insert(0, 1);
}

fn add(one: &[u8], two: &[u8]) -> Vec<u8> {
    let mut digits = Vec::with_capacity(one.len().max(two.len()) + 1);
    let mut carry = 0;
    let (mut one, mut two) = (one.iter().rev(), two.iter().rev());
    loop {
        let sum = match (one.next(), two.next()) {
            (None, None) => break,
            (a, b) => a.copied().unwrap_or(0) + b.copied().unwrap_or(0) + carry,
        };
        digits.push(sum % 10);
        carry = sum / 10;
    }
    digits.push(carry);
    digits.reverse();
    digits
}

/// The second taken from the first, which is not less.
fn subtract(high: &[u8], low: &[u8]) -> Vec<u8> {
    let mut digits = Vec::with_capacity(high.len());
    let mut borrow = 0;
    let mut low = low.iter().rev();
    for digit in high.iter().rev() {
        let taken = low.next().copied().unwrap_or(0) + borrow;
        borrow = u8::from(*digit < taken);
        digits.push(digit + 10 * borrow - taken);
    }
    digits.reverse();
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_orders_are_exact() {
        let show = |decimal: Decimal| {
            let sign = if decimal.negative { "-" } else { "" };
            format!("{sign}{}e{}", decimal.digits_text(), decimal.exponent)
        };
        for (one, two, sum, order) in [
            ((5, 0), (7, 0), "12e0", Ordering::Less),
            ((5, 0), (-7, 0), "-2e0", Ordering::Greater),
            ((1, 3), (1, -3), "1000001e-3", Ordering::Greater),
            ((-1000, 0), (-1, 3), "-2000e0", Ordering::Equal),
            ((0, 0), (-3, 1), "-30e0", Ordering::Greater),
            ((3, 0), (0, -2), "300e-2", Ordering::Greater),
            ((7, 0), (-7, 0), "0e0", Ordering::Greater),
            ((i64::MIN, 0), (i64::MIN, 0), "-18446744073709551616e0", Ordering::Equal),
        ] {
            let (one, two) = (Decimal::of(one.0, one.1), Decimal::of(two.0, two.1));
            assert_eq!(one.plus(&two).map(show), Ok(sum.to_owned()));
            assert_eq!(one.compare(&two), order, "{one:?} {two:?}");
        }
        assert_eq!(Decimal::of(1, 2000).plus(&Decimal::of(1, 0)).map(show), Err(TooLong));
    }

    #[test]
    fn rounding_goes_away_from_zero() {
        let round = |value, exponent, to| {
            Decimal::of(value, exponent).rounded_to(to).map(|d| (d.negative, d.digits_text()))
        };
        assert_eq!(round(1999, -3, 0), Ok((false, "2".to_owned())));
        assert_eq!(round(-1, -12, -9), Ok((true, "1".to_owned())));
        assert_eq!(round(1000, -3, 0), Ok((false, "1".to_owned())));
        assert_eq!(round(5, 1, 0), Ok((false, "50".to_owned())));
    }
}
