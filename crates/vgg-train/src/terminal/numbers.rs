//! Numbers as people read them.

use std::time::Duration;

/// `1 image`, `2 images`.
pub(crate) fn count(n: u64, what: &str) -> String {
    let plural = match what {
        _ if n == 1 => "",
        what if what.ends_with("ss") || what.ends_with('x') => "es",
        _ => "s",
    };
    format!("{} {what}{plural}", grouped(n))
}

/// `1234567` as `1 234 567`.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// `43 093 322` as `43.09 M`, and `7 546 544 128` as `7546.5 M`.
pub(crate) fn millions(n: u64) -> String {
    match n as f64 / 1e6 {
        n if n < 100.0 => format!("{n:.2} M"),
        n => format!("{n:.1} M"),
    }
}

/// Bytes in the unit that fits: `1.9 GiB`.
pub(crate) fn bytes(n: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", units[unit])
}

/// `5.9 s`, `12:03` or `3:04:05`.
pub(crate) fn clock(time: Duration) -> String {
    if time.as_secs_f64() < 59.95 {
        return format!("{:.1} s", time.as_secs_f64());
    }
    let seconds = time.as_secs_f64().round() as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// Images a second, with a decimal where that says something.
pub(crate) fn rate(images_per_second: f64) -> String {
    match images_per_second {
        rate if rate < 100.0 => format!("{rate:.1}"),
        rate => grouped(rate.round() as u64),
    }
}

/// A number to four digits, as a learning rate.
pub(crate) fn short(number: impl Into<f64>) -> String {
    let text = format!("{:.3e}", number.into());
    // Through a number again, so that 5.000e-2 is 0.05.
    match text.parse::<f64>() {
        Ok(number) if number == 0.0 || (1e-4..1e9).contains(&number.abs()) => number.to_string(),
        Ok(number) => format!("{number:e}"),
        Err(_) => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        let counts =
            [count(1, "image"), count(2000, "image"), count(0, "class"), count(1, "class")];
        assert_eq!(counts, ["1 image", "2 000 images", "0 classes", "1 class"]);
    }

    #[test]
    fn numbers_are_readable() {
        let groups = [0, 999, 1000, 43_093_322].map(grouped);
        assert_eq!(groups, ["0", "999", "1 000", "43 093 322"]);
        let counts = [153_386, 43_093_322, 512_184_320].map(millions);
        assert_eq!(counts, ["0.15 M", "43.09 M", "512.2 M"]);
        let sizes = [512, 1 << 20, 1_900_000_000].map(bytes);
        assert_eq!(sizes, ["0.5 KiB", "1.0 MiB", "1.8 GiB"]);
        let times = [0.4, 54.0, 723.4, 11_045.0].map(|s| clock(Duration::from_secs_f64(s)));
        assert_eq!(times, ["0.4 s", "54.0 s", "12:03", "3:04:05"]);
        let rates = [0.05_f32, 0.000_05, 0.0, 0.012_345, 1.0].map(short);
        assert_eq!(rates, ["0.05", "5e-5", "0", "0.01235", "1"]);
        let numbers = [-0.25, 12_345.6, -2e12, 1e300].map(short);
        assert_eq!(numbers, ["-0.25", "12350", "-2e12", "1e300"]);
    }
}
