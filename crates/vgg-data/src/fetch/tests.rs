//! Folders and a scripted HTTP server on this machine stand in for the real sources.

use std::io::{BufRead, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use vgg_tensor::{Draw, hex};

use super::*;
use crate::fashion_mnist::{Excerpt, File};

/// The contents of the one file of the tests' data set.
fn contents() -> Vec<u8> {
    let draw = Draw { seed: 1, stream: 2, step: 3 };
    (0..4096).map(|i| draw.bits(i) as u8 & 15).collect()
}

fn files() -> &'static [File] {
    let sha256 = hex(&Sha256::digest(contents()));
    let mnist = Excerpt { offset: 0, bytes: b"digits" };
    let file = File { name: "data", bytes: 4096, gz_bytes: 2048, sha256: sha256.leak(), mnist };
    vec![file].leak()
}

fn gzip(contents: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(contents).unwrap();
    encoder.finish().unwrap()
}

/// The file as the tests' servers send it.
fn packed() -> Vec<u8> {
    gzip(&contents(), 9)
}

/// A fetch into a temporary folder, and what it told.
struct Run {
    dir: TempDir,
    idle: Duration,
    failures: Vec<String>,
}

impl Run {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Run { dir, idle: Duration::from_secs(60), failures: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn fetch(&mut self, sources: Vec<Source>) -> Result<Outcome> {
        let client = Client::new(Duration::from_secs(60), self.idle, None);
        let files = files().iter().map(|file| file as &dyn Wanted).collect();
        let (what, dir) = ("Fashion-MNIST".into(), self.dir.path().into());
        let fetch = Fetch { what, dir, files, sources, client };
        fetch.run(&mut |event| {
            if let Event::Failed { source, reason } = event {
                self.failures.push(format!("{source}: {reason}"));
            }
        })
    }

    /// The file that was fetched is there, and nothing else but `others`.
    #[track_caller]
    fn check_stored(&self, stored: &[u8], others: &[&str]) {
        assert_eq!(fs::read(self.path("data.gz")).unwrap(), stored);
        let entries = fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name != "data.gz");
        names.sort();
        assert_eq!(names, others);
    }

    #[track_caller]
    fn check_failures(&self, expected: &[&str]) {
        let matches = self.failures.len() == expected.len()
            && self.failures.iter().zip(expected).all(|(failure, part)| failure.contains(part));
        assert!(matches, "{:#?} should contain {expected:#?}", self.failures);
    }
}

/// A folder that has `bytes` under `name`.
fn folder(name: &str, bytes: &[u8]) -> (TempDir, Source) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(name), bytes).unwrap();
    let source = Source::Folder(dir.path().into());
    (dir, source)
}

/// What a server does with one connection, once it has read the request.
enum Reply {
    /// Sends these bytes and closes the connection.
    Send(Vec<u8>),
    /// Sends these bytes, then nothing, until the client closes the connection.
    Stall(Vec<u8>),
}

/// A server that answers one request after the other as it is told.
struct Server {
    source: Source,
    ranges: Arc<Mutex<Vec<Option<String>>>>,
}

impl Server {
    fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let source = Source::Mirror(format!("http://{}/", listener.local_addr().unwrap()));
        let ranges = Arc::new(Mutex::new(Vec::new()));
        let server = Server { source, ranges: Arc::clone(&ranges) };
        std::thread::spawn(move || {
            for reply in replies {
                Self::answer(listener.accept().unwrap().0, reply, &ranges);
            }
        });
        server
    }

    fn source(&self) -> Source {
        self.source.clone()
    }

    /// The `Range` of every request so far.
    fn ranges(&self) -> Vec<Option<String>> {
        self.ranges.lock().unwrap().clone()
    }

    fn answer(mut stream: TcpStream, reply: Reply, ranges: &Mutex<Vec<Option<String>>>) {
        let mut range = None;
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "GET /data.gz HTTP/1.1");
        for line in lines.map(Result::unwrap).take_while(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").unwrap();
            if name.eq_ignore_ascii_case("range") {
                range = Some(value.to_string());
            }
        }
        // Before the reply, so that a client that has it finds its request counted.
        ranges.lock().unwrap().push(range);
        let (Reply::Send(bytes) | Reply::Stall(bytes)) = &reply;
        stream.write_all(bytes).unwrap();
        if let Reply::Stall(_) = reply {
            // Ends, perhaps with an error, when the client closes.
            let _ = stream.read(&mut [0]);
        }
    }
}

fn response(status: &str, headers: &str, body: &[u8], content_length: usize) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {content_length}\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn ok(body: &[u8]) -> Reply {
    Reply::Send(response("200 OK", "", body, body.len()))
}

/// The answer to a request for `body[start..]`.
fn partial(body: &[u8], start: usize) -> Reply {
    let (last, len) = (body.len() - 1, body.len());
    let range = format!("Content-Range: bytes {start}-{last}/{len}\r\n");
    Reply::Send(response("206 Partial Content", &range, &body[start..], len - start))
}

fn status(status: &str) -> Reply {
    Reply::Send(response(status, "", b"", 0))
}

#[test]
fn the_sources_are_in_order_and_offline_uses_no_network() {
    let sources = Source::all_and_package(Some("here".into()), false);
    assert_eq!(sources.len(), 6);
    assert_eq!(sources[0], Source::Folder("here".into()));
    assert_eq!(sources[1], Source::Folder(INSTALLED.into()));
    assert!(sources[2..5].iter().all(|source| matches!(source, Source::Mirror(_))));
    assert_eq!(sources[5], Source::DebianPackage);
    assert_eq!(Source::all(Some("here".into()), false), sources[..5]);
    assert_eq!(Source::all_and_package(None, true), [Source::Folder(INSTALLED.into())]);
}

#[test]
fn a_folder_is_copied_once() {
    let mut run = Run::new();
    let (_dir, source) = folder("data.gz", &packed());
    assert_eq!(run.fetch(vec![source]).unwrap(), Outcome::Fetched(1));
    run.check_stored(&packed(), &[]);
    assert_eq!(run.fetch(vec![]).unwrap(), Outcome::UpToDate);
    run.check_failures(&[]);
}

#[test]
fn uncompressed_files_do() {
    let mut run = Run::new();
    let (_dir, source) = folder("data", &contents());
    assert_eq!(run.fetch(vec![source]).unwrap(), Outcome::Fetched(1));
    assert_eq!(fs::read(run.path("data")).unwrap(), contents());
    assert_eq!(run.fetch(vec![]).unwrap(), Outcome::UpToDate);
}

#[test]
fn a_wrong_file_in_the_way_is_kept_aside() {
    let mut run = Run::new();
    fs::write(run.path("data"), b"digits").unwrap();
    let (_dir, source) = folder("data.gz", &packed());
    assert_eq!(run.fetch(vec![source]).unwrap(), Outcome::Fetched(1));
    run.check_stored(&packed(), &["data.bad"]);
    run.check_failures(&["data: this is plain MNIST"]);
    assert_eq!(fs::read(run.path("data.bad")).unwrap(), b"digits");
}

#[test]
fn every_failure_is_told_and_the_next_source_tried() {
    let mut run = Run::new();
    let (_empty, empty) = folder("other", b"");
    let (_damaged, damaged) = folder("data.gz", &packed()[..1000]);
    let (_digits, digits) = folder("data.gz", &gzip(b"digits", 9));
    let no_file = Server::start(vec![status("404 Not Found")]);
    let good = Server::start(vec![ok(&packed())]);
    let missing = Source::Folder("no/such/folder".into());
    let sources = vec![missing, empty, damaged, digits, no_file.source(), good.source()];
    assert_eq!(run.fetch(sources).unwrap(), Outcome::Fetched(1));
    run.check_stored(&packed(), &[]);
    run.check_failures(&[
        "no/such/folder: there is no such folder",
        "data.gz is not there",
        "the gzip stream is cut short",
        "this is plain MNIST",
        "the server answered 404 Not Found",
    ]);
    assert_eq!(no_file.ranges(), [None]);
    assert_eq!(good.ranges(), [None]);
}

#[test]
fn if_all_fail_the_error_helps() {
    let mut run = Run::new();
    let message = run.fetch(vec![Source::Folder("no/such/folder".into())]).unwrap_err().to_string();
    let expected = format!(
        "Fashion-MNIST is not available: no source has all of it; tried:\
         \n  no/such/folder: there is no such folder\
         \nput this file into {} by hand:\
         \n  data.gz, about 2048 bytes; decompressed 4096 bytes, sha256 {}",
        run.dir.path().display(),
        files()[0].sha256,
    );
    assert_eq!(message, expected);
}

#[test]
fn an_unreachable_mirror_is_passed_over() {
    let mut run = Run::new();
    // A port that was just free, and where nobody listens.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (_dir, source) = folder("data.gz", &packed());
    run.fetch(vec![Source::Mirror(format!("http://{address}/")), source]).unwrap();
    run.check_failures(&["Connection refused"]);
}

#[test]
fn an_interrupted_download_is_resumed() {
    let mut run = Run::new();
    let packed = packed();
    let cut =
        Server::start(vec![Reply::Send(response("200 OK", "", &packed[..700], packed.len()))]);
    let rest = Server::start(vec![partial(&packed, 700)]);
    run.fetch(vec![cut.source(), rest.source()]).unwrap();
    run.check_stored(&packed, &[]);
    run.check_failures(&["the server closed the connection after 700 bytes"]);
    assert_eq!(rest.ranges(), [Some("bytes=700-".into())]);
}

#[test]
fn a_server_that_ignores_the_range_starts_over() {
    let mut run = Run::new();
    fs::write(run.path("data.gz.part"), &packed()[..700]).unwrap();
    let server = Server::start(vec![ok(&packed())]);
    run.fetch(vec![server.source()]).unwrap();
    run.check_stored(&packed(), &[]);
    assert_eq!(server.ranges(), [Some("bytes=700-".into())]);
}

#[test]
fn a_part_that_does_not_fit_is_thrown_away() {
    // The beginning of the same file, compressed in another way.
    let other = gzip(&contents(), 1);
    let first = partial(&packed(), 700);
    for refusal in [first, status("416 Range Not Satisfiable"), partial(&packed(), 10)] {
        let mut run = Run::new();
        fs::write(run.path("data.gz.part"), &other[..700]).unwrap();
        let server = Server::start(vec![refusal, ok(&packed())]);
        run.fetch(vec![server.source()]).unwrap();
        run.check_stored(&packed(), &[]);
        run.check_failures(&[]);
        assert_eq!(server.ranges(), [Some("bytes=700-".into()), None]);
    }
}

#[test]
fn wrong_bytes_are_refused_and_leave_nothing() {
    let mut run = Run::new();
    let mut wrong = contents();
    wrong[2000] ^= 1;
    let server = Server::start(vec![ok(&gzip(&wrong, 9))]);
    let page = Server::start(vec![ok(b"<html>Please log in</html>")]);
    let endless = Server::start(vec![ok(&[0; 5000])]);
    run.fetch(vec![server.source(), page.source(), endless.source()]).unwrap_err();
    run.check_failures(&["not Fashion-MNIST's data", "not Fashion-MNIST's data", "more than 4096"]);
    assert_eq!(fs::read_dir(run.dir.path()).unwrap().count(), 0);
}

#[test]
fn a_stalled_server_is_given_up_and_its_bytes_are_kept() {
    let mut run = Run::new();
    run.idle = Duration::from_secs(2);
    let packed = packed();
    let reply = response("200 OK", "", &packed[..700], packed.len());
    let stalled = Server::start(vec![Reply::Stall(reply)]);
    run.fetch(vec![stalled.source()]).unwrap_err();
    run.check_failures(&["no data for 2s after 700 bytes"]);
    assert_eq!(fs::read(run.path("data.gz.part")).unwrap(), &packed[..700]);
}
