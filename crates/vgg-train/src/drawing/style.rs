//! What lines look like.

use maud::{Markup, html};

/// What a line looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Blue, with dots.
    Train,
    /// Vermilion and dashed, with triangles.
    Test,
    /// Black, with dots.
    Plain,
    /// One of many: seven colours, four kinds of points; the eighth has the first colour, and dashes.
    Nth(usize),
    /// Thin, grey and dashed, without points: what others are to be seen against.
    Guide,
}

impl Style {
    /// Okabe and Ito's colours, which the colour-blind tell apart, but for the yellow, which nobody
    /// sees on white.
    const NTH: [(&str, &str); 7] = [
        ("c0", "#0072b2"),
        ("c1", "#d55e00"),
        ("c2", "#009e73"),
        ("c3", "#cc79a7"),
        ("c4", "#e69f00"),
        ("c5", "#56b4e9"),
        ("c6", "#000000"),
    ];

    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
            Self::Plain => "plain",
            Self::Nth(n) => Self::NTH[n % 7].0,
            Self::Guide => "guide",
        }
    }

    pub(super) fn colour(self) -> &'static str {
        match self {
            Self::Train => "#0072b2",
            Self::Test => "#d55e00",
            Self::Plain => "#000000",
            Self::Nth(n) => Self::NTH[n % 7].1,
            Self::Guide => "#6e7781",
        }
    }

    pub(super) fn stroke_width(self) -> f64 {
        if self == Self::Guide { 1.0 } else { 2.0 }
    }

    pub(super) fn dashes(self) -> Option<&'static str> {
        match self {
            Self::Train | Self::Plain => None,
            Self::Test => Some("6 4"),
            Self::Nth(n) => [None, Some("6 4"), Some("2 3"), Some("9 3 2 3")][n / 7 % 4],
            Self::Guide => Some("4 4"),
        }
    }

    /// A point.
    pub(super) fn marker(self, at: (f64, f64), tip: Option<String>) -> Markup {
        let (x, y) = (px(at.0), px(at.1));
        let shape = match self {
            Self::Train | Self::Plain => 0,
            Self::Test => 1,
            Self::Nth(n) => n % 4,
            Self::Guide => return html! {},
        };
        let path = match shape {
            0 => format!("M{} {y}a3 3 0 1 0 6 0a3 3 0 1 0 -6 0z", px(x - 3.0)),
            1 => format!("M{x} {}l4 7h-8z", px(y - 4.5)),
            2 => format!("M{} {}h6v6h-6z", px(x - 3.0), px(y - 3.0)),
            _ => format!("M{x} {}l4 4l-4 4l-4 -4z", px(y - 4.0)),
        };
        html! {
            path d=(path) fill="currentColor" {
                @if let Some(tip) = tip {
                    title { (tip) }
                }
            }
        }
    }
}

/// To a hundredth of a px.
pub(super) fn px(at: f64) -> f64 {
    (100.0 * at).round() / 100.0
}
