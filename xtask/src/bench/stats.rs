//! Several measurements of one thing.

use std::fmt;

/// The median and the extremes of a few measurements, in whatever unit they have.
#[derive(Clone, Copy)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    /// `None` of no values.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            0 => f64::midpoint(*values.get(middle.checked_sub(1)?)?, *values.get(middle)?),
            _ => *values.get(middle)?,
        };
        Some(Self { median, least: *values.first()?, most: *values.last()? })
    }
}

/// `12.4 (12.1 - 12.9)`, with as many digits as the format's precision says.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        write!(f, "{:.digits$} ({:.digits$} - {:.digits$})", self.median, self.least, self.most)
    }
}

/// Counts and sizes here stay far below 2^53, where `f64` is exact.
#[allow(clippy::cast_precision_loss)]
pub fn float(value: u64) -> f64 {
    value as f64
}

pub fn kibibytes(bytes: f64) -> f64 {
    bytes / 1024.0
}

pub fn mebibytes(bytes: f64) -> f64 {
    kibibytes(bytes) / 1024.0
}

#[cfg(test)]
mod tests {
    use super::Spread;

    #[test]
    fn the_median_is_the_middle_value() {
        let spread = Spread::of([3.0, 1.0, 2.0]).unwrap();
        assert_eq!(format!("{spread:.1}"), "2.0 (1.0 - 3.0)");
    }

    #[test]
    fn the_median_of_two_values_lies_between_them() {
        let spread = Spread::of([4.0, 1.0]).unwrap();
        assert_eq!(format!("{spread:.1}"), "2.5 (1.0 - 4.0)");
    }

    #[test]
    fn nothing_has_no_median() {
        assert!(Spread::of([]).is_none());
    }
}
