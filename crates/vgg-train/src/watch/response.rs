//! An answer.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::http::response::Builder;
use serde_json::{Value, json};

use crate::failure::{self, Code, Failure};

/// What a browser may do for an answer: run and show what is in a page, ask this server, no more. A page
/// has a policy of its own besides, which knows its script.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                      img-src data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

const TEXT: &str = "text/plain; charset=utf-8";

/// What is answered.
pub(super) type Response = hyper::Response<Full<Bytes>>;

pub(super) fn text(status: u16, text: &str) -> Response {
    with_body(head(status, TEXT), text.to_owned())
}

pub(super) fn json(status: u16, value: &Value) -> Response {
    with_body(head(status, "application/json"), value.to_string())
}

pub(super) fn page(status: u16, html: String) -> Response {
    with_body(head(status, "text/html; charset=utf-8"), html)
}

/// That it is elsewhere.
pub(super) fn elsewhere(path: &str) -> Response {
    with_body(head(302, TEXT).header("Location", path), path.to_owned())
}

/// That other methods are asked for.
pub(super) fn other_method(allowed: &'static str) -> Response {
    let head = head(405, TEXT).header("Allow", allowed);
    with_body(head, format!("only {allowed} can be answered"))
}

fn head(status: u16, content_type: &str) -> Builder {
    hyper::Response::builder()
        .status(status)
        .header("Content-Type", content_type)
        .header("Cache-Control", "no-store")
        .header("Content-Security-Policy", POLICY)
        .header("Cross-Origin-Resource-Policy", "same-origin")
        .header("Referrer-Policy", "no-referrer")
        .header("X-Content-Type-Options", "nosniff")
}

fn with_body(head: Builder, body: String) -> Response {
    head.body(body.into()).expect("status and headers are ours")
}

/// A status and the reason, for a script.
#[derive(Debug)]
pub(super) struct Refused(pub u16, pub String);

impl Refused {
    pub(super) fn respond(self) -> Response {
        json(self.0, &json!({ "error": self.1 }))
    }
}

impl From<anyhow::Error> for Refused {
    fn from(error: anyhow::Error) -> Self {
        let status = match failure::code(&error) {
            Code::Data => 422,
            Code::Usage | Code::Checkpoint => 409,
            Code::Memory => 503,
            _ => 500,
        };
        let help = error.downcast_ref::<Failure>().and_then(|failure| failure.help.as_deref());
        let help = help.map_or(String::new(), |help| format!(" ({help})"));
        Self(status, format!("{error:#}{help}"))
    }
}
