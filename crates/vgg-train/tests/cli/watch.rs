//! The page of `watch`, as browsers and others ask for it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::resume::signal;
use super::{Killed, Workplace, sample};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program as it serves.
struct Watch {
    child: Killed,
    port: u16,
}

impl Watch {
    fn start(place: &Workplace, arguments: &str) -> Self {
        Self::of(place.command(&format!("watch {arguments}")))
    }

    fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().strip_prefix("http://127.0.0.1:").unwrap().strip_suffix('/');
        Self { child: Killed(child), port: port.unwrap().parse().unwrap() }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// What comes back for these bytes.
    fn ask(&self, request: &[u8]) -> Answer {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    /// What comes back for a method and a path.
    fn send(&self, method: &str, path: &str) -> Answer {
        self.ask(
            format!("{method} {path} HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", self.port).as_bytes(),
        )
    }

    fn get(&self, path: &str) -> Answer {
        self.send("GET", path)
    }

    /// What comes back for an image, with headers besides the host and the length.
    fn classify(&self, run: &str, headers: &str, image: &[u8]) -> Answer {
        let head = format!(
            "POST /runs/{run}/classify HTTP/1.1\r\nHost: localhost:9\r\nContent-Length: {}\r\n{headers}\r\n",
            image.len()
        );
        self.ask(&[head.as_bytes(), image].concat())
    }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    /// Whether there is a header that starts so; names of headers are lower-case.
    fn has(&self, header: &str) -> bool {
        self.head.contains(&format!("\r\n{header}"))
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    fn error(&self) -> String {
        self.json()["error"].as_str().unwrap().to_owned()
    }
}

/// What a browser says of a request by the server's own page.
const OWN: &str = "Origin: http://localhost:9\r\nSec-Fetch-Site: same-origin\r\n";

#[test]
fn pages_are_for_this_machine_and_nobody_else() {
    let place = Workplace::new();
    place.ok("tiny.toml -q --set train.epochs=1");
    let watch = Watch::start(&place, "");
    let index = watch.get("/");
    assert_eq!(index.status, 200);
    assert!(index.body.contains("href=\"/runs/tiny-1\""), "{}", index.body);
    let page = watch.get("/runs/tiny-1");
    assert_eq!(page.status, 200);
    for header in [
        "x-content-type-options: nosniff",
        "cache-control: no-store",
        "content-security-policy: default-src 'none'",
        "content-type: text/html; charset=utf-8",
        "cross-origin-resource-policy: same-origin",
        "referrer-policy: no-referrer",
    ] {
        assert!(page.has(header), "{header}: {}", page.head);
    }
    // A tunnel may end at any port, and a name of elsewhere may lead here.
    let of_host =
        |lines: &str| watch.ask(format!("GET / HTTP/1.1\r\n{lines}\r\n").as_bytes()).status;
    for own in ["127.0.0.1:8000", "localhost", "[::1]:80"] {
        assert_eq!(of_host(&format!("Host: {own}\r\n")), 200, "{own}");
    }
    for other in [
        "Host: evil.com\r\n",
        "Host: localhost.evil.com\r\n",
        "",
        "Host: localhost\r\nHost: evil.com\r\n",
    ] {
        assert_eq!(of_host(other), 421, "{other}");
    }
    assert!(page.body.contains("href=\"/runs/tiny-1/report\""), "{}", page.body);
    assert_eq!(watch.get("/runs/tiny-1/report").body, place.read("runs/tiny-1/report.html"));
    fs::remove_file(place.path("runs/tiny-1/report.html")).unwrap();
    assert_eq!(watch.get("/runs/tiny-1/report").status, 404);
    let page = watch.get("/runs/tiny-1");
    let head = watch.send("HEAD", "/runs/tiny-1");
    assert_eq!((head.head, &*head.body), (page.head, ""));
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let answer = watch.send(method, "/");
        assert_eq!(answer.status, 405, "{method}");
        assert!(answer.has("allow: GET, HEAD"), "{}", answer.head);
    }
    assert_eq!(watch.get("/runs/tiny-1/classify").status, 405);
}

#[test]
fn a_page_has_the_test_of_the_best_network() {
    let place = Workplace::new();
    place.ok("tiny.toml -q --set report.page=false");
    let watch = Watch::start(&place, "");
    let (parts, page) = (["confusion", "classes", "mistakes", "calibration", "dataset"], || {
        watch.get("/runs/tiny-1").body
    });
    let has = |page: &str, part: &str| page.contains(&format!(r#"<h2 id="{part}">"#));
    let whole = page();
    assert_eq!(parts.map(|part| has(&whole, part)), [true; 5], "{whole}");
    assert!(whole.contains("seen by the best network, that of epoch "), "{whole}");
    assert_eq!(page(), whole);
    let version = watch.get("/runs/tiny-1/version").body;
    fs::remove_file(place.path("runs/tiny-1/predictions.safetensors")).unwrap();
    assert_ne!(watch.get("/runs/tiny-1/version").body, version);
    let less = page();
    assert_eq!(parts.map(|part| has(&less, part)), [false, false, false, false, true]);
}

#[test]
fn nothing_but_the_runs_can_be_asked_for() {
    let place = Workplace::new();
    place.ok("tiny.toml -q --set train.epochs=1");
    place.ok("tiny.toml -q --set train.epochs=1 --out other");
    fs::create_dir(place.path("runs/no run")).unwrap();
    let watch = Watch::start(&place, "runs");
    for path in [
        "/etc/passwd",
        "/runs/",
        "/runs/tiny-2",
        "/runs/no%20run",
        "/runs/..%2f..%2fetc/passwd",
        "/runs/..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/runs/..%2fother%2ftiny-1",
        "/runs/..%5cother%5ctiny-1",
        "/runs/../other/tiny-1",
        "/runs/%2e%2e",
        "/runs/.",
        "/runs/tiny-1/config.toml",
        "/runs/tiny-1%2fcheckpoints",
        "/runs/tiny-1%00",
        "//runs/tiny-1",
        "/%",
        "/runs/tiny-1%",
    ] {
        assert_eq!(watch.get(path).status, 404, "{path}");
    }
    for bad in [
        &b"nonsense\r\n\r\n"[..],
        b"GET http://evil.com/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
    ] {
        assert_eq!(watch.ask(bad).status, 400, "{}", String::from_utf8_lossy(bad));
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(1 << 17));
    let many = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "A: b\r\n".repeat(1000));
    for request in [long, many] {
        assert_eq!(watch.ask(request.as_bytes()).status, 431);
    }
    assert_eq!(watch.get("/runs/tiny-1").status, 200, "it goes on");
}

#[test]
fn an_image_is_classified_for_the_own_page_alone() {
    let place = Workplace::new();
    place.ok("tiny.toml -q");
    let image = fs::read(sample()).unwrap();
    let watch = Watch::start(&place, "--threads 1");
    for other in [
        "",
        "Origin: http://evil.com\r\n",
        "Origin: null\r\n",
        "Origin: http://localhost:8\r\n",
        "Origin: http://localhost:9\r\nSec-Fetch-Site: same-site\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Origin: http://localhost:9\r\nOrigin: http://evil.com\r\n",
    ] {
        assert_eq!(watch.classify("tiny-1", other, &image).status, 403, "{other}");
    }
    let answer = watch.classify("tiny-1", OWN, &image);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let predict = place.ok(&format!("predict runs/tiny-1 {} --json -q", sample().display()));
    let predict: Value = serde_json::from_str(&predict.stdout).unwrap();
    assert_eq!(answer.json()["predictions"], predict["predictions"]);
    let explanation = answer.json()["explanation"].as_str().unwrap().to_owned();
    assert!(explanation.starts_with("data:image/png;base64,iVBOR"), "{explanation}");

    let damaged = watch.classify("tiny-1", OWN, &image[..image.len() / 2]);
    assert_eq!(damaged.status, 422);
    assert!(damaged.error().starts_with("the image is damaged"), "{}", damaged.body);
    let none = watch.classify("tiny-1", OWN, b"hello");
    assert_eq!(
        (none.status, &*none.error()),
        (422, "this is not a JPEG, PNG, WebP, TIFF, BMP or GIF image")
    );
    assert_eq!(watch.classify("tiny-2", OWN, &image).status, 404);
    let head = |lines: &str| {
        format!("POST /runs/tiny-1/classify HTTP/1.1\r\nHost: localhost:9\r\n{OWN}{lines}\r\n")
    };
    // All of it is sent, though nobody reads it.
    let large = watch.classify("tiny-1", OWN, &vec![0; (64 << 20) + 1]);
    assert_eq!((large.status, &*large.error()), (413, "it is larger than 64 MiB"));
    let chunked = watch.ask(head("Transfer-Encoding: chunked\r\n").as_bytes());
    assert_eq!(chunked.status, 411);
    // As curl sends what is not small.
    let mut stream = watch.connect();
    let expecting = head(&format!("Content-Length: {}\r\nExpect: 100-continue\r\n", image.len()));
    stream.write_all(expecting.as_bytes()).unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(&image).unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.starts_with("HTTP/1.1 200 OK\r\n"), "{rest}");
}

#[test]
fn a_network_is_the_best_there_is_now() {
    let place = Workplace::new();
    place.ok("tiny.toml -q --set train.epochs=1");
    let image = fs::read(sample()).unwrap();
    let watch = Watch::start(&place, "");
    let first = watch.classify("tiny-1", OWN, &image).json();
    assert_eq!(first["epoch"], 1);
    // Another network takes its place.
    place.ok("tiny.toml -q --set train.epochs=3 --set train.seed=1");
    let [old, new] =
        [1, 2].map(|run| place.path(&format!("runs/tiny-{run}/checkpoints/last.safetensors")));
    let best = old.with_file_name("best.safetensors");
    fs::remove_file(&best).unwrap();
    fs::copy(&new, &best).unwrap();
    let second = watch.classify("tiny-1", OWN, &image).json();
    assert_eq!(second["epoch"], 3);
    assert_ne!(first["predictions"], second["predictions"]);
    fs::write(&best, "weights?").unwrap();
    let damaged = watch.classify("tiny-1", OWN, &image);
    assert_eq!(damaged.status, 409, "{}", damaged.body);
    assert!(damaged.error().contains("best.safetensors"), "{}", damaged.body);
    for checkpoint in [best, old] {
        fs::remove_file(checkpoint).unwrap();
    }
    let missing = watch.classify("tiny-1", OWN, &image);
    assert_eq!(missing.status, 409, "{}", missing.body);
    assert!(missing.error().contains("has no checkpoint (vgg-train resume"), "{}", missing.body);
}

#[test]
fn a_version_changes_with_the_run() {
    let place = Workplace::new();
    place.ok("tiny.toml -q --set train.epochs=1");
    let watch = Watch::start(&place, "");
    let versions = || ["/version", "/runs/tiny-1/version"].map(|path| watch.get(path).body);
    let before = versions();
    assert_eq!(versions(), before, "nothing happens");
    let endless = format!("resume runs/tiny-1 -q {}", super::resume::ENDLESS);
    let mut child = Killed(place.spawn(&endless));
    let until = Instant::now() + PATIENCE;
    while !watch.get("/runs/tiny-1").body.contains("\"state\":\"running\"") {
        assert!(Instant::now() < until, "it is not seen to run");
    }
    for _ in 0..3 {
        let before = versions();
        while versions().iter().zip(&before).any(|(now, before)| now == before) {
            assert!(Instant::now() < until && child.0.try_wait().unwrap().is_none());
        }
    }
    drop(child);
    assert!(watch.get("/runs/tiny-1").body.contains("\"state\":\"stopped\""));
    fs::rename(place.path("runs/tiny-1"), place.path("tiny-1")).unwrap();
    let gone = watch.get("/runs/tiny-1");
    assert_eq!((gone.status, watch.get("/runs/tiny-1/version").status), (404, 404));
    assert!(gone.body.contains("<main>") && gone.body.contains("none any more"), "{}", gone.body);
    assert!(watch.get("/").body.contains("There is no run here yet."));
}

#[test]
fn who_is_slow_keeps_nobody_waiting() {
    let place = Workplace::new();
    place.ok("tiny.toml -q --set train.epochs=1");
    let watch = Watch::start(&place, "");
    let slow: Vec<_> = (0..20)
        .map(|i| {
            let mut stream = watch.connect();
            stream
                .write_all(&b"POST /runs/tiny-1/classify HTTP/1.1\r\nHost: loc"[..i + 1])
                .unwrap();
            stream
        })
        .collect();
    assert_eq!(watch.get("/runs/tiny-1").status, 200);
    drop(slow);
    // Who goes away before the answer is there. There are more of them than places for connections.
    for _ in 0..80 {
        watch.connect().write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    }
    assert_eq!(watch.get("/").status, 200);
    // Images that come slowly take all places, and give them back.
    let image = fs::read(sample()).unwrap();
    let slow: Vec<_> = (0..4)
        .map(|_| {
            let mut stream = watch.connect();
            let lines = "Content-Length: 9\r\nExpect: 100-continue\r\n";
            let head = format!(
                "POST /runs/tiny-1/classify HTTP/1.1\r\nHost: localhost:9\r\n{OWN}{lines}\r\n"
            );
            stream.write_all(head.as_bytes()).unwrap();
            stream.read_exact(&mut [0; 25]).unwrap();
            stream
        })
        .collect();
    assert_eq!(watch.classify("tiny-1", OWN, &image).status, 503);
    drop(slow);
    let until = Instant::now() + PATIENCE;
    while watch.classify("tiny-1", OWN, &image).status != 200 {
        assert!(Instant::now() < until, "the places are not given back");
    }
}

#[test]
fn names_of_runs_are_only_names() {
    let place = Workplace::new();
    place.ok("tiny.toml -q --set train.epochs=1");
    let name = "a<script>alert(1)<\\script> & 100% #?.-1";
    fs::rename(place.path("runs/tiny-1"), place.path("runs").join(name)).unwrap();
    let watch = Watch::start(&place, "");
    let index = watch.get("/").body;
    assert!(!index.contains("<script>alert"), "{index}");
    let link = index.split("href=\"/runs/").nth(1).unwrap().split('"').next().unwrap();
    let page = watch.get(&format!("/runs/{link}"));
    assert_eq!(page.status, 200, "{link}");
    assert!(page.body.contains("a&lt;script&gt;alert(1)"), "{}", page.body);
    let image = fs::read(sample()).unwrap();
    assert_eq!(watch.classify(link, OWN, &image).status, 200);
}

#[test]
fn a_run_alone_is_the_page() {
    let place = Workplace::new();
    place.ok("tiny.toml -q --set train.epochs=1");
    let mut command = place.command("watch . --port 0");
    command.current_dir(place.path("runs/tiny-1"));
    let watch = Watch::of(command);
    let index = watch.get("/");
    assert_eq!(index.status, 302);
    assert!(index.has("location: /runs/tiny-1"), "{}", index.head);
    assert_eq!(watch.get("/runs/tiny-1").status, 200);
    let taken = place.run(&format!("watch --port {}", watch.port));
    let told = format!("error: cannot have port {} of 127.0.0.1\n", watch.port);
    assert_eq!((taken.code, &*taken.stdout), (Some(1), ""));
    assert!(taken.stderr.starts_with(&told), "{}", taken.stderr);
    let missing = place.run("watch nowhere");
    assert_eq!(missing.code, Some(2));
    assert!(
        missing.stderr.starts_with("error: there is no folder nowhere\n"),
        "{}",
        missing.stderr
    );
}

#[test]
#[cfg(unix)]
fn signals_end_it() {
    let place = Workplace::new();
    fs::create_dir(place.path("runs")).unwrap();
    for (name, code) in [("-INT", 130), ("-TERM", 75)] {
        let mut watch = Watch::start(&place, "");
        // Its standard output has gone with the reader of the address.
        assert_eq!(watch.get("/").status, 200);
        signal(&watch.child.0, name);
        assert_eq!(watch.child.0.wait().unwrap().code(), Some(code));
    }
}
