//! Text on pictures: how wide it is, cut where there is no room.

use maud::{Markup, html};

use super::paint::TEXT;

/// Of what is written at axes and in legends, in px.
pub(super) const SIZE: f64 = 12.0;
/// Bold letters are that much wider.
pub(super) const BOLD: f64 = 1.1;
/// Of a title.
const TITLE_SIZE: f64 = 15.0;

/// Whether XML may have the character.
pub(super) fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{fffd}' | '\u{10000}'..)
}

/// About how wide text of this size is, in px, in any of the fonts that it may be shown in: a little
/// more than in most.
pub(super) fn width(text: &str, size: f64) -> f64 {
    let ems = |c| match c {
        'i' | 'j' | 'l' | '\'' | '|' | '.' | ',' | ':' | ';' | '!' | ' ' => 0.33,
        'f' | 'r' | 't' | 'I' | '(' | ')' | '[' | ']' | '/' | '-' => 0.42,
        'm' | 'w' | 'M' | 'W' | '%' | '@' => 0.95,
        'A'..='Z' => 0.72,
        '\u{300}'..='\u{36f}' => 0.0,
        '\u{1100}'.. => 1.1,
        _ => 0.62,
    };
    text.chars().map(ems).sum::<f64>() * size
}

/// Text that is at most `room` px wide: cut, with an ellipsis, where it is wider.
pub(super) fn fit(text: &str, size: f64, room: f64) -> String {
    if width(text, size) <= room {
        return text.to_owned();
    }
    let mut cut = String::new();
    for c in text.chars() {
        cut.push(c);
        if width(&cut, size) + width("…", size) > room {
            cut.pop();
            break;
        }
    }
    format!("{}…", cut.trim_end())
}

/// The text as far as there is room, and all of it as a tip.
pub(super) fn fitted(text: &str, size: f64, room: f64) -> Markup {
    let shown = fit(text, size, room);
    html! {
        @if shown != text {
            title { (text) }
        }
        (shown)
    }
}

/// The title of a picture, from `x` on.
pub(super) fn title(x: f64, text: &str, room: f64) -> Markup {
    html! {
        text x=(x) y="22" font-size=(TITLE_SIZE) font-weight="600" class=(TEXT.class)
            color=(TEXT.colour) fill="currentColor" { (fitted(text, BOLD * TITLE_SIZE, room)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_where_there_is_no_room() {
        assert_eq!(fit("Sandal", 12.0, 60.0), "Sandal");
        assert_eq!(fit("a class of a very long name", 12.0, 60.0), "a class…");
        assert_eq!(fit("Sandal", 12.0, 0.0), "…");
        assert_eq!(fit("凉鞋凉鞋", 10.0, 33.0), "凉鞋…");
        let cut = fitted("<Sandal>", 12.0, 40.0).0;
        assert_eq!(cut, "<title>&lt;Sandal&gt;</title>&lt;Sa…");
    }
}
