//! What is answered to whom.

use std::sync::Arc;

use anyhow::Result;
use hyper::body::Incoming;
use hyper::{Method, Request};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::classifier::Classifier;
use super::looked::Looked;
use super::pages;
use super::request::{is_for_this_machine, is_from_own_page, path, read};
use super::response::{self, Refused, Response};
use super::watched::{Watched, address, address_of, version};

/// Bytes of an image that is to be classified.
const MAX_IMAGE: usize = 64 << 20;

/// Images that may be on their way at a time.
const MAX_IMAGES: usize = 4;

/// The answers to all requests.
pub(crate) struct Routes {
    watched: Watched,
    looked: Looked,
    classifier: Classifier,
    /// Places for images on their way.
    images: Arc<Semaphore>,
}

impl Routes {
    pub(crate) fn new(watched: Watched, looked: Looked, classifier: Classifier) -> Self {
        Self { watched, looked, classifier, images: Arc::new(Semaphore::new(MAX_IMAGES)) }
    }

    /// The answer to a request.
    pub(super) async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response {
        let Some(mut path) = path(request.uri()) else {
            return response::text(400, "this is no path");
        };
        if !is_for_this_machine(request.headers()) {
            return response::text(421, "this is not the host that was asked for");
        }
        let classifies =
            matches!(&path[..], [runs, _, what] if runs == b"runs" && what == b"classify");
        let answer = match *request.method() {
            Method::POST if classifies => self.classify(path.swap_remove(1), request).await,
            _ if classifies => Ok(response::other_method("POST")),
            Method::GET | Method::HEAD => {
                aside(move || Ok(self.show(&path))).await.map_err(Refused::from)
            }
            _ => Ok(response::other_method("GET, HEAD")),
        };
        answer.unwrap_or_else(Refused::respond)
    }

    /// What there is to see.
    fn show(&self, path: &[Vec<u8>]) -> Response {
        let words: Vec<&[u8]> = path.iter().map(Vec::as_slice).collect();
        match words[..] {
            [b""] => match &self.watched {
                Watched::Run(run) => response::elsewhere(&address(run)),
                Watched::Folder(folder) => pages::index(folder, &self.watched.runs()),
            },
            [b"version"] => response::text(200, &version(&self.watched.runs())),
            [b"runs", name] => match self.watched.run(name) {
                Some(run) => pages::run(&run, &self.looked),
                None => pages::no_run(&address_of(name), &String::from_utf8_lossy(name)),
            },
            [b"runs", name, what @ (b"version" | b"report")] => match self.watched.run(name) {
                Some(run) if what == b"report" => pages::report(&run),
                Some(run) => response::text(200, &version(&[run])),
                None => response::text(404, pages::NO_RUN),
            },
            _ => response::text(404, "there is nothing here"),
        }
    }

    /// What a run's network makes of the image in the request's body.
    async fn classify(
        self: Arc<Self>,
        name: Vec<u8>,
        request: Request<Incoming>,
    ) -> Result<Response, Refused> {
        if !is_from_own_page(request.headers()) {
            return Err(Refused(403, "images are taken from this program's own page".into()));
        }
        let watched = self.watched.clone();
        let run = aside(move || Ok(watched.run(&name))).await?;
        let run = run.ok_or_else(|| Refused(404, pages::NO_RUN.into()))?;
        let place = self.images.clone().try_acquire_owned();
        let place = place.map_err(|_| Refused(503, "others are before you".into()))?;
        let image = read(request.into_body(), MAX_IMAGE).await?;
        let answer = aside(move || {
            // Until it is classified, even if nobody waits any more.
            let _place = place;
            self.classifier.classify(&run, &image)
        });
        Ok(response::json(200, &answer.await?))
    }
}

/// Does what takes long, or waits for files, while others are answered.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    spawn_blocking(work).await?
}
