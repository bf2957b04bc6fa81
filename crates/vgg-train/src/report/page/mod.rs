//! Reports as HTML: one file, with its style sheet, its script and its data in it.
//!
//! Everything is there to be read without the script, which only adds what a mouse does. A browser
//! executes nothing else, whatever the names of classes and files are: templates escape them, and the
//! page's policy knows its script by its hash.

pub(crate) mod boxes;
mod classes;
mod curves;
mod images;
mod index;
mod network;
mod overview;
mod scores;
mod several;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::Report;
use crate::drawing::picture;
use crate::version::VERSION;

pub(crate) use images::picture;
pub(crate) use index::index;
pub(crate) use several::several;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// A section of a page.
struct Section {
    /// The anchor.
    id: &'static str,
    title: &'static str,
    content: Markup,
}

/// What a page that is served has beside one that is a file.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    /// Where the page is, …
    pub page: String,
    /// … what tells that it has changed, …
    pub version: String,
    /// … what that said when the page was made, …
    pub current: String,
    /// … where the whole report of a run is, if it was made, …
    pub report: Option<String>,
    /// … and where images go that are to be classified, of a run.
    pub classify: Option<String>,
}

/// The page of a run.
pub(crate) fn single(report: &Report, live: Option<&Live>) -> String {
    let Report { folder, network, look, notes } = report;
    let (examined, seen) = (look.examined.as_deref(), look.seen.as_deref());
    let sections = [
        curves::section(folder),
        look.located.as_deref().map(boxes::section),
        examined.map(|it| classes::confusion(it, folder.config.train.best_by)),
        examined.map(classes::table),
        examined.and_then(images::mistakes),
        examined.map(scores::calibration),
        examined.and_then(scores::ranking),
        seen.map(images::data),
        seen.and_then(|seen| images::batch(seen, &folder.config)),
        network.as_ref().map(network::section),
        Some(overview::config(folder)),
    ];
    let sections: Vec<Section> = sections.into_iter().flatten().collect();
    let main = html! {
        (overview::header(report))
        @if let Some(url) = live.and_then(|live| live.report.as_ref()) {
            p { a href=(url) { "The whole report, with where the network looks" } }
        }
        (contents(&sections))
        @for note in notes.iter().chain(&look.notes) { p.about { "Without " (note) "." } }
        @for section in &sections { (section) }
    };
    document(&folder.name(), &main, &report.to_json(), live)
}

/// A page that says why there is not what was asked for.
pub(crate) fn notice(title: &str, text: &str, live: &Live) -> String {
    let main = html! {
        header { h1 { (title) } }
        p { (text) }
        p { a href="/" { "All runs" } }
    };
    document(title, &main, &Value::Null, Some(live))
}

impl maud::Render for Section {
    fn render(&self) -> Markup {
        html! {
            section aria-labelledby=(self.id) {
                h2 id=(self.id) { (self.title) }
                (self.content)
            }
        }
    }
}

fn contents(sections: &[Section]) -> Markup {
    html! {
        nav aria-label="Contents" {
            @for section in sections { a href=(format!("#{}", section.id)) { (section.title) } }
        }
    }
}

/// A whole page. `data` are what it shows, for whoever wants to go on with the numbers.
pub(crate) fn document(title: &str, main: &Markup, data: &Value, live: Option<&Live>) -> String {
    let style = style();
    let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)));
    let policy = format!(
        "default-src 'none'; img-src data: blob:; connect-src 'self'; style-src {}; script-src {}; \
         base-uri 'none'; form-action 'none'",
        hash(&style),
        hash(SCRIPT),
    );
    // No `<` in it begins a tag.
    let data = data.to_string().replace('<', "\\u003c");
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="generator" content=(format!("vgg-train {VERSION}"));
                link rel="icon" href="data:,";
                title { (title) }
                style { (PreEscaped(&style)) }
            }
            body data-version=[live.map(|live| &live.version)] data-page-url=[live.map(|live| &live.page)]
                data-current=[live.map(|live| &live.current)] {
                @if let Some(url) = live.and_then(|live| live.classify.as_ref()) { (drop_zone(url)) }
                main { (main) }
                footer {
                    "Made by vgg-train " (VERSION)
                    ". All numbers are in this file as JSON, too: the script element with the id “data”."
                }
                script type="application/json" id="data" { (PreEscaped(data)) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

fn drop_zone(url: &str) -> Markup {
    html! {
        div.drop data-url=(url) {
            label { "Drop an image here, or choose one, to see what the best network makes of it: "
                input type="file" accept="image/*"; }
            div.answer aria-live="polite" {}
        }
    }
}

/// The page's style sheet, with that of dark drawings.
fn style() -> String {
    format!("{STYLE}@media screen and (prefers-color-scheme: dark) {{\n{}}}\n", picture::DARK)
}

/// `12.34 %`
fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

/// A share to three digits, nothing where it does not exist.
fn three(value: Option<f64>) -> String {
    value.map_or(String::new(), |value| format!("{value:.3}"))
}

/// The number behind a cell, for sorting.
fn exact(value: Option<f64>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}
