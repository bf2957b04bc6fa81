//! An answer.

use std::io::{self, ErrorKind};

use serde_json::Value;

/// What a browser may do for an answer: run and show what is in a page, ask this server, no more. A page
/// has a policy of its own besides, which knows its script.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                      img-src data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// What is answered.
#[derive(Debug)]
pub(super) struct Response {
    status: u16,
    content_type: &'static str,
    /// Another header.
    header: Option<String>,
    body: Vec<u8>,
}

impl Response {
    fn new(status: u16, content_type: &'static str, body: String) -> Self {
        Self { status, content_type, header: None, body: body.into_bytes() }
    }

    pub(super) fn text(status: u16, text: &str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", text.to_owned())
    }

    pub(super) fn json(status: u16, value: &Value) -> Self {
        Self::new(status, "application/json", value.to_string())
    }

    pub(super) fn page(status: u16, html: String) -> Self {
        Self::new(status, "text/html; charset=utf-8", html)
    }

    /// That it is elsewhere.
    pub(super) fn elsewhere(path: &str) -> Self {
        Self { header: Some(format!("Location: {path}")), ..Self::text(302, path) }
    }

    /// That other methods are asked for.
    pub(super) fn other_method(allowed: &str) -> Self {
        let text = format!("only {allowed} can be answered");
        Self { header: Some(format!("Allow: {allowed}")), ..Self::text(405, &text) }
    }

    /// The answer to a request that cannot be read; none if nobody waits for one.
    pub(super) fn of_unreadable(error: &io::Error) -> Option<Self> {
        Some(match error.kind() {
            ErrorKind::InvalidData => Self::text(400, "this is no request"),
            ErrorKind::FileTooLarge => Self::text(431, "the headers are too long"),
            ErrorKind::TimedOut | ErrorKind::WouldBlock => {
                Self::text(408, "no request came in time")
            }
            _ => return None,
        })
    }

    /// As it is sent, without its body if that is not asked for.
    pub(super) fn to_bytes(&self, is_head: bool) -> Vec<u8> {
        let Self { status, content_type, header, body } = self;
        let mut lines = vec![
            format!("HTTP/1.1 {status} {}", reason(*status)),
            format!("Content-Type: {content_type}"),
            format!("Content-Length: {}", body.len()),
            "Connection: close".into(),
            "Cache-Control: no-store".into(),
            format!("Content-Security-Policy: {POLICY}"),
            "Cross-Origin-Resource-Policy: same-origin".into(),
            "Referrer-Policy: no-referrer".into(),
            "X-Content-Type-Options: nosniff".into(),
        ];
        lines.extend(header.clone());
        let mut bytes = (lines.join("\r\n") + "\r\n\r\n").into_bytes();
        if !is_head {
            bytes.extend_from_slice(body);
        }
        bytes
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        302 => "Found",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Content Too Large",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}
