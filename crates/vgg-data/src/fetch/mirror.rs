//! Downloading a file over HTTP, taking up an interrupted download where it stopped.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::time::Duration;

use ureq::http::{HeaderMap, StatusCode, header};
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Proxy, Timeout};

/// An HTTP client for large files on slow lines: it gives up on a server that says nothing, never
/// on one that is slow.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    connect: Duration,
    idle: Duration,
}

/// How a completed download began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Download {
    /// At its first byte.
    Whole,
    /// Where an earlier one had stopped.
    Resumed,
}

impl Client {
    /// `connect` bounds finding and reaching a server, `idle` every single wait for its bytes.
    pub(super) fn new(connect: Duration, idle: Duration, proxy: Option<Proxy>) -> Self {
        // As Cargo.toml has them.
        let provider = match cfg!(any(windows, target_vendor = "apple")) {
            true => TlsProvider::NativeTls,
            false => TlsProvider::Rustls,
        };
        let tls =
            TlsConfig::builder().provider(provider).root_certs(RootCerts::PlatformVerifier).build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .proxy(proxy)
            .user_agent(concat!("vgg-data/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            .timeout_resolve(Some(connect))
            .timeout_connect(Some(connect))
            .timeout_recv_response(Some(idle))
            .timeout_per_read(Some(idle))
            .build()
            .into();
        Client { agent, connect, idle }
    }

    /// Downloads `url` into the file `part`, or what is missing of it there.
    /// `on_progress(done, total)` is called for every piece.
    ///
    /// # Errors
    /// Why it failed, in a line. What has arrived stays in `part`, unless it is more than
    /// `max_len` bytes.
    pub(super) fn download(
        &self,
        url: &str,
        part: &Path,
        max_len: u64,
        on_progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<Download, String> {
        let have = fs::metadata(part).map_or(0, |metadata| metadata.len());
        let mut request = self.agent.get(url);
        if have > 0 {
            request = request.header(header::RANGE, format!("bytes={have}-"));
        }
        let response = request.call().map_err(|error| self.explain(&error))?;
        let start = match response.status() {
            StatusCode::OK => 0,
            StatusCode::PARTIAL_CONTENT if range_start(response.headers()) == Some(have) => have,
            // The part and the server's file do not fit together.
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => {
                fs::remove_file(part).map_err(|error| in_file(part, &error))?;
                return self.download(url, part, max_len, on_progress);
            }
            status => return Err(format!("the server answered {status}")),
        };

        let mut options = OpenOptions::new();
        options.create(true).write(true).append(start > 0).truncate(start == 0);
        let mut file = options.open(part).map_err(|error| in_file(part, &error))?;
        let total = response.body().content_length().map(|rest| start + rest);
        let mut body = response.into_body().into_reader();
        let mut done = start;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = body.read(&mut buffer).map_err(|error| {
                let reason = self.explain(&ureq::Error::from(error));
                format!("{reason} after {done} bytes")
            })?;
            if read == 0 {
                break;
            }
            done += read as u64;
            if done > max_len {
                fs::remove_file(part).map_err(|error| in_file(part, &error))?;
                return Err(format!("the server sends more than {max_len} bytes"));
            }
            file.write_all(&buffer[..read]).map_err(|error| in_file(part, &error))?;
            on_progress(done, total);
        }
        Ok(if start > 0 { Download::Resumed } else { Download::Whole })
    }

    fn explain(&self, error: &ureq::Error) -> String {
        match error {
            ureq::Error::HostNotFound => "the host name cannot be resolved".into(),
            ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => {
                format!("no connection within {:?}", self.connect)
            }
            ureq::Error::Timeout(Timeout::PerRead | Timeout::RecvResponse) => {
                format!("no data for {:?}", self.idle)
            }
            ureq::Error::Io(error) if error.kind() == ErrorKind::UnexpectedEof => {
                "the server closed the connection".into()
            }
            // Without the "io: " that the error itself would put in front.
            ureq::Error::Io(error) => error.to_string(),
            error => error.to_string(),
        }
    }
}

/// The first position of `Content-Range: bytes 100-199/200`.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

fn in_file(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}
