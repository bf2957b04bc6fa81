//! What a request says, whoever sent it.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::{HeaderMap, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use tokio::time::timeout;

use super::response::Refused;

/// How long a body may take to come.
const BODY_TIME: Duration = Duration::from_secs(60);

/// What is written in another way in a word of a path. A dot, too: browsers take `..` for the folder
/// above.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~');

/// The words between a path's slashes, decoded: bytes, as names of files are. None of what is no path on
/// this machine.
pub(super) fn path(uri: &Uri) -> Option<Vec<Vec<u8>>> {
    let path = uri.path().strip_prefix('/').filter(|_| uri.authority().is_none())?;
    Some(path.split('/').map(|word| percent_decode_str(word).collect()).collect())
}

/// A name as a word of a path.
pub(super) fn encoded(name: &[u8]) -> String {
    percent_encode(name, ENCODED).to_string()
}

/// Reads a body of up to `most` bytes.
///
/// # Errors
/// If it is longer, of unknown length, or not all there in time.
pub(super) async fn read(body: Incoming, most: usize) -> Result<Bytes, Refused> {
    let length = body.size_hint().exact();
    let length = length.ok_or_else(|| Refused(411, "its length is not told".into()))?;
    if length > most as u64 {
        return Err(Refused(413, format!("it is larger than {} MiB", most >> 20)));
    }
    match timeout(BODY_TIME, body.collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        _ => Err(Refused(408, "it did not come whole, or not in time".into())),
    }
}

/// Whether a request is for this machine under a name that nobody else can have, at any port: it may have
/// come through a tunnel. A page of elsewhere that has its own name lead here is found out by it.
pub(super) fn is_for_this_machine(headers: &HeaderMap) -> bool {
    only(headers, "host").is_some_and(is_this_machine)
}

fn is_this_machine(host: &str) -> bool {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let name =
        host.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(host, |(name, _)| name);
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// Whether a request comes from a page of this server, as its browser says.
pub(super) fn is_from_own_page(headers: &HeaderMap) -> bool {
    let own = only(headers, "host").map(|host| format!("http://{host}"));
    let is_own = |name, own: Option<&str>| {
        headers.contains_key(name).then(|| {
            only(headers, name).zip(own).is_some_and(|(given, own)| given.eq_ignore_ascii_case(own))
        })
    };
    let said = [is_own("origin", own.as_deref()), is_own("sec-fetch-site", Some("same-origin"))];
    said.contains(&Some(true)) && !said.contains(&Some(false))
}

/// A header's value; none where it is not there, twice, or no text.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    value.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_path_are_decoded_once() {
        let words = |uri: &str| path(&uri.parse().unwrap());
        let some =
            |words: &[&str]| Some(words.iter().map(|word| word.as_bytes().to_vec()).collect());
        assert_eq!(words("/"), some(&[""]));
        assert_eq!(words("/runs/a%20b?x=/y"), some(&["runs", "a b"]));
        assert_eq!(words("/runs/..%2f..%2Fetc"), some(&["runs", "../../etc"]));
        assert_eq!(words("/%252e"), some(&["%2e"]));
        for bad in ["runs", "http://evil/", "*"] {
            assert_eq!(words(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_come_back_as_they_are() {
        for name in [&b"vgg11_small-1"[..], b"..", b"a/b?c#d%", b"\xff\0 \xc3\xa9"] {
            let uri = format!("/{}", encoded(name)).parse().unwrap();
            assert_eq!(path(&uri).unwrap(), [name]);
        }
        assert_eq!(encoded(b"a.b c"), "a%2Eb%20c");
    }

    #[test]
    fn this_machine_has_three_names() {
        for own in ["localhost", "LocalHost:8000", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:80"]
        {
            assert!(is_this_machine(own), "{own}");
        }
        for other in [
            "",
            ":80",
            "evil.com",
            "evil.com:80",
            "localhost.evil.com",
            "127.0.0.1.evil.com",
            "127.0.0.2",
            "localhost:",
            "localhost:80:80",
            "localhost:a",
            "::1",
            "[::1",
            "evil@localhost",
            "0.0.0.0",
        ] {
            assert!(!is_this_machine(other), "{other}");
        }
    }
}
