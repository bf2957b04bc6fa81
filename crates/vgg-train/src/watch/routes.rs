//! What is answered to whom.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::classifier::Classifier;
use super::pages;
use super::request::Request;
use super::response::Response;
use super::watched::{Watched, address, address_of, version};
use crate::failure::{self, Code, Failure};

/// Bytes of an image that is to be classified.
const MAX_IMAGE: usize = 64 << 20;

/// Images that may be on their way at a time.
const MAX_IMAGES: usize = 4;

/// The answers to all requests.
pub(crate) struct Routes {
    watched: Watched,
    classifier: Classifier,
    /// Images on their way.
    images: AtomicUsize,
}

impl Routes {
    pub(crate) fn new(watched: Watched, classifier: Classifier) -> Self {
        Self { watched, classifier, images: AtomicUsize::new(0) }
    }

    /// The answer to a request.
    pub(super) fn answer(&self, request: &mut Request<'_>) -> Response {
        if !request.header("host").is_some_and(is_this_machine) {
            return Response::text(421, "this is not the host that was asked for");
        }
        let words: Vec<String> =
            request.path.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        // As bytes, of which a name of a file may have any.
        let name = request.path.get(1).cloned().unwrap_or_default();
        match (&*request.method, &words[..]) {
            ("POST", ["runs", _, "classify"]) => {
                self.classify(&name, request).unwrap_or_else(Refused::respond)
            }
            (_, ["runs", _, "classify"]) => Response::other_method("POST"),
            ("GET" | "HEAD", [""]) => self.index(),
            ("GET" | "HEAD", ["version"]) => Response::text(200, &version(&self.watched.runs())),
            ("GET" | "HEAD", ["runs", shown]) => match self.watched.run(&name) {
                Some(run) => pages::run(&run),
                None => pages::no_run(&address_of(&name), shown),
            },
            ("GET" | "HEAD", ["runs", _, what @ ("version" | "report")]) => {
                match self.watched.run(&name) {
                    Some(run) if *what == "report" => pages::report(&run),
                    Some(run) => Response::text(200, &version(&[run])),
                    None => Response::text(404, pages::NO_RUN),
                }
            }
            ("GET" | "HEAD", _) => Response::text(404, "there is nothing here"),
            _ => Response::other_method("GET, HEAD"),
        }
    }

    fn index(&self) -> Response {
        match &self.watched {
            Watched::Run(run) => Response::elsewhere(&address(run)),
            Watched::Folder(folder) => pages::index(folder, &self.watched.runs()),
        }
    }

    /// What a run's network makes of the image in the request's body.
    fn classify(&self, name: &[u8], request: &mut Request<'_>) -> Result<Response, Refused> {
        if !is_from_own_page(request) {
            return Err(Refused(403, "images are taken from this program's own page".into()));
        }
        let run = self.watched.run(name).ok_or_else(|| Refused(404, pages::NO_RUN.into()))?;
        let _place = Place::take(&self.images)
            .ok_or_else(|| Refused(503, "others are before you".into()))?;
        let image = request.body(MAX_IMAGE).map_err(|(status, why)| Refused(status, why))?;
        let answer = self.classifier.classify(&run, &image).map_err(|error| Refused::of(&error))?;
        Ok(Response::json(200, &answer))
    }
}

/// A status and the reason, for a script.
struct Refused(u16, String);

impl Refused {
    fn of(error: &anyhow::Error) -> Self {
        let status = match failure::code(error) {
            Code::Data => 422,
            Code::Usage | Code::Checkpoint => 409,
            Code::Memory => 503,
            _ => 500,
        };
        let help = error.downcast_ref::<Failure>().and_then(|failure| failure.help.as_deref());
        let help = help.map_or(String::new(), |help| format!(" ({help})"));
        Self(status, format!("{error:#}{help}"))
    }

    fn respond(self) -> Response {
        Response::json(self.0, &json!({ "error": self.1 }))
    }
}

/// One of the images that may be on their way.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(taken: &'a AtomicUsize) -> Option<Self> {
        let place = Self(taken);
        (taken.fetch_add(1, Ordering::Relaxed) < MAX_IMAGES).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether a `Host` is this machine under a name that nobody else can have, at any port: it may have come
/// through a tunnel. A page of elsewhere that has its own name lead here is found out by it.
fn is_this_machine(host: &str) -> bool {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let name =
        host.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(host, |(name, _)| name);
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// Whether a request comes from a page of this server, as its browser says.
fn is_from_own_page(request: &Request<'_>) -> bool {
    let own = request.header("host").map(|host| format!("http://{host}"));
    let is_own = |name, own: Option<&str>| {
        let given = request.has(name).then(|| request.header(name));
        given
            .map(|given| given.zip(own).is_some_and(|(given, own)| given.eq_ignore_ascii_case(own)))
    };
    let said = [is_own("origin", own.as_deref()), is_own("sec-fetch-site", Some("same-origin"))];
    said.contains(&Some(true)) && !said.contains(&Some(false))
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn places_are_given_back() {
        let taken = AtomicUsize::new(0);
        let places: Vec<_> = (0..MAX_IMAGES).map(|_| Place::take(&taken)).collect();
        assert!(places.iter().all(Option::is_some) && Place::take(&taken).is_none());
        drop(places);
        assert!(Place::take(&taken).is_some());
        assert_eq!(taken.load(Ordering::Relaxed), 0);
    }
}
