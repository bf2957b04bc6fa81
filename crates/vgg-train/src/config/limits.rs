//! What values may be: each limit says in words what is wrong with a value beyond it.

use std::fmt::Display;

pub(super) fn at_least_one(n: u64) -> Option<String> {
    (n == 0).then(|| format!("must be at least 1, not {n}"))
}

pub(super) fn at_most<T: PartialOrd + Display>(n: T, most: T) -> Option<String> {
    (n > most).then(|| format!("must be at most {most}, not {n}"))
}

pub(super) fn positive(x: f64) -> Option<String> {
    match x > 0.0 {
        true => in_f32(x),
        false => Some(format!("must be a number above 0, not {x}")),
    }
}

pub(super) fn not_negative(x: f64) -> Option<String> {
    match x >= 0.0 {
        true => in_f32(x),
        false => Some(format!("must be a number from 0 on, not {x}")),
    }
}

pub(super) fn share(x: f64) -> Option<String> {
    match (0.0..1.0).contains(&x) {
        // What is nearly 1 is rounded to it.
        true if x as f32 == 1.0 => {
            Some(format!("must be at most {}, not {x}", 1.0_f32.next_down()))
        }
        true => in_f32(x),
        false => Some(format!("must be from 0 to below 1, not {x}")),
    }
}

/// A number that is not 0 stays one where it is computed with: in 32 bits, without denormals.
pub(super) fn in_f32(x: f64) -> Option<String> {
    let (least, most) = (f32::MIN_POSITIVE, f32::MAX);
    (x != 0.0 && !(x as f32).is_normal()).then(|| {
        format!("must be from {least:.1e} to {most:.1e}, as it is kept in 32 bits, not {x:e}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_checked_as_they_are_computed_with() {
        for x in [1e-50, 1e-40, 1e39, f64::INFINITY] {
            assert!(positive(x).is_some() && not_negative(x).is_some(), "{x}");
        }
        for x in [-1.0, f64::NAN] {
            assert!(positive(x).is_some() && not_negative(x).is_some() && share(x).is_some());
        }
        assert!(positive(0.0).is_some() && not_negative(0.0).is_none() && share(0.0).is_none());
        for x in [1.2e-38, 0.05, 3.4e38] {
            assert_eq!((positive(x), not_negative(x)), (None, None), "{x}");
        }
        assert_eq!(share(0.9999), None);
        assert_eq!(share(0.999_999_99).unwrap(), "must be at most 0.99999994, not 0.99999999");
        let said = "must be from 1.2e-38 to 3.4e38, as it is kept in 32 bits, not 1e-50";
        assert_eq!(share(1e-50).unwrap(), said);
    }
}
