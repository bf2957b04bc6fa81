//! Weights that are known by name, fetched from a server on this machine.
//!
//! The program takes a file for torchvision's if its SHA-256 begins with the eight digits that
//! torchvision's file has in its name. The stand-in here is a network of the same configuration with few
//! channels, whose last two numbers were searched for, some billions of them, until it has these digits.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

use crate::{Done, Workplace, failure, sample};

/// The name of the file that the stand-in stands for.
const FILE: &str = "vgg11-8a719046.pth";

/// VGG-11 with one to eight channels and 1,000 classes, of which it takes any image for a sports car,
/// or else for a Samoyed: only biases of its last layer are not zero.
fn stand_in() -> Vec<u8> {
    let convs = [
        (0, 1, 3),
        (3, 2, 1),
        (6, 4, 2),
        (8, 4, 4),
        (11, 8, 4),
        (13, 8, 8),
        (16, 8, 8),
        (18, 8, 8),
    ];
    let linears = [(0, 8, 392), (3, 8, 8), (6, 1000, 8)];
    let convs =
        convs.map(|(at, c_out, c_in)| (format!("features.{at}"), c_out, vec![c_out, c_in, 3, 3]));
    let linears =
        linears.map(|(at, out, inputs)| (format!("classifier.{at}"), out, vec![out, inputs]));
    let (mut header, mut end) = (vec![], 0);
    for (layer, outputs, weight) in convs.into_iter().chain(linears) {
        for (name, dims) in [("weight", weight), ("bias", vec![outputs])] {
            let start = end;
            end += 4 * dims.iter().product::<usize>();
            let dims = dims.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
            header.push(format!(
                r#""{layer}.{name}":{{"dtype":"F32","shape":[{dims}],"data_offsets":[{start},{end}]}}"#
            ));
        }
    }
    let mut header = format!("{{{}}}", header.join(","));
    while (8 + header.len() + end) % 64 != 48 {
        header.push(' ');
    }
    let mut numbers = vec![0.0; end / 4];
    let classes = numbers.len() - 1000;
    numbers[classes + 817] = 5.0;
    numbers[classes + 258] = 4.0;
    numbers[classes + 998] = f32::from_bits(0x3580_027d);
    numbers[classes + 999] = f32::from_bits(0x35e8_5a61);
    let numbers = numbers.iter().flat_map(|x: &f32| x.to_le_bytes());
    let head = (header.len() as u64).to_le_bytes().into_iter().chain(header.into_bytes());
    head.chain(numbers).collect()
}

/// What a server does with one request.
#[derive(Clone, Copy, Debug)]
enum Reply {
    /// Sends all that is asked for.
    Send,
    /// Sends the whole file, whatever part of it is asked for.
    SendWhole,
    /// Sends so many bytes of the file, and closes the connection.
    Cut(usize),
    /// Sends so many bytes of the file, then nothing.
    Stall(usize),
    /// Sends the file with a bit turned.
    Turned,
    /// Has no such file.
    NotFound,
}

/// A mirror that answers one request after the other as it is told.
struct Mirror {
    url: String,
    /// The `Range` of each request so far.
    ranges: Arc<Mutex<Vec<Option<String>>>>,
}

impl Mirror {
    fn start(replies: &[Reply]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/models", listener.local_addr().unwrap());
        let ranges = Arc::new(Mutex::new(vec![]));
        let (seen, replies) = (Arc::clone(&ranges), replies.to_vec());
        std::thread::spawn(move || {
            for reply in replies {
                answer(listener.accept().unwrap().0, reply, &seen);
            }
        });
        Self { url, ranges }
    }

    fn ranges(&self) -> Vec<Option<String>> {
        self.ranges.lock().unwrap().clone()
    }
}

fn answer(mut stream: TcpStream, reply: Reply, ranges: &Mutex<Vec<Option<String>>>) {
    let mut range = None;
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), format!("GET /models/{FILE} HTTP/1.1"));
    for line in lines.map(Result::unwrap).take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap();
        if name.eq_ignore_ascii_case("range") {
            range = Some(value.to_owned());
        }
    }
    let asked = range.as_deref().and_then(|it| it.strip_prefix("bytes=")?.strip_suffix('-'));
    let asked: Option<usize> = asked.map(|start| start.parse().unwrap());
    ranges.lock().unwrap().push(range);
    let mut file = stand_in();
    let len = file.len();
    if let Reply::Turned = reply {
        file[len / 2] ^= 1;
    }
    let (status, extra, body) = match (reply, asked) {
        (Reply::NotFound, _) => ("404 Not Found", String::new(), &file[..0]),
        (Reply::Send, Some(start)) => {
            let range = format!("Content-Range: bytes {start}-{}/{len}\r\n", len - 1);
            ("206 Partial Content", range, &file[start..])
        }
        _ => ("200 OK", String::new(), &file[..]),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{extra}\r\n"
    );
    let sent = match reply {
        Reply::Cut(bytes) | Reply::Stall(bytes) => &body[..bytes],
        _ => body,
    };
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(sent)).unwrap();
    if let Reply::Stall(_) = reply {
        // Ends, perhaps with an error, when the client closes.
        let _ = stream.read(&mut [0]);
    }
}

/// A place whose programs look for weights at a mirror, or nowhere, and keep them in its folder
/// `weights`.
struct Place(Workplace);

impl Place {
    fn new() -> Self {
        let place = Workplace::new();
        std::fs::copy(sample(), place.path("boot.png")).unwrap();
        Self(place)
    }

    fn command(&self, mirror: Option<&Mirror>, arguments: &str) -> Command {
        let mut command = self.0.command(arguments);
        command.env("VGG_WEIGHTS_DIR", "weights").env("VGG_FETCH_PATIENCE", "1");
        // Neither the real home nor what PyTorch has on this machine.
        command.env("TORCH_HOME", "torch").env_remove("HTTP_PROXY").env_remove("http_proxy");
        command.env("VGG_WEIGHTS_MIRROR", mirror.map_or("http://127.0.0.1:1/", |it| &it.url));
        command
    }

    fn run(&self, mirror: Option<&Mirror>, arguments: &str) -> Done {
        Done::of(self.command(mirror, arguments).output().unwrap())
    }

    fn ok(&self, mirror: Option<&Mirror>, arguments: &str) -> Done {
        let done = self.run(mirror, arguments);
        assert_eq!(done.code, Some(0), "{arguments}\n{}", done.stderr);
        done
    }

    /// `predict` fails as data do that are missing or damaged. What it says, and what is kept then.
    #[track_caller]
    fn check_failure(&self, mirror: &Mirror, says: &str, keeps: Option<usize>) {
        let done = self.run(Some(mirror), PREDICT);
        assert_eq!((done.code, &*done.stdout), (Some(3), ""), "{}", done.stderr);
        let said = "cannot get the weights of torchvision's vgg11";
        assert!(done.stderr.contains(said), "{}", done.stderr);
        assert!(done.stderr.contains(says), "{says}:\n{}", done.stderr);
        let by_hand = "put this file into weights by hand:\n";
        assert!(done.stderr.contains(by_hand), "{}", done.stderr);
        assert!(!self.file().exists());
        let part = std::fs::metadata(self.part()).ok();
        assert_eq!(part.map(|part| part.len() as usize), keeps);
    }

    fn file(&self) -> PathBuf {
        self.0.path("weights").join(FILE)
    }

    fn part(&self) -> PathBuf {
        self.0.path("weights").join(format!("{FILE}.part"))
    }

    /// Puts the file where it is kept.
    fn put(&self) {
        std::fs::create_dir_all(self.0.path("weights")).unwrap();
        std::fs::write(self.file(), stand_in()).unwrap();
    }
}

const PREDICT: &str = "predict imagenet-vgg11 boot.png --top 2 --device cpu --threads 1";

const PREDICTED: &str = "boot.png\n   12.4 %  sports car\n    4.5 %  Samoyed\n";

#[test]
fn the_first_command_fetches_and_tells_classes_by_name() {
    let place = Place::new();
    let mirror = Mirror::start(&[Reply::Send]);
    let first = place.ok(Some(&mirror), PREDICT);
    assert_eq!(first.stdout, PREDICTED);
    for said in [
        "torchvision's vgg11 (1 file, ",
        "non-commercial research and teaching alone",
        "sha256 8a71904669761e4c13ab791518796a684aadbfb2a5e7c4acb0a638baecf4df8c",
        "scaled to a short side of 256, 224×224 cut from the centre, less [0.485, 0.456, 0.406]",
    ] {
        assert!(first.stderr.contains(said), "{said}:\n{}", first.stderr);
    }
    assert_eq!(mirror.ranges(), [None]);
    assert_eq!(std::fs::read(place.file()).unwrap(), stand_in());
    // Kept: no server answers any more.
    let again = place.ok(None, PREDICT);
    assert_eq!(again.stdout, PREDICTED);
    assert!(!again.stderr.contains("Fetching"), "{}", again.stderr);
    let offline = place.ok(None, &format!("{PREDICT} --offline"));
    assert_eq!(offline.stdout, PREDICTED);
}

#[test]
fn an_interrupted_download_goes_on_where_it_was() {
    let place = Place::new();
    let mirror = Mirror::start(&[Reply::Cut(700), Reply::Send]);
    place.check_failure(&mirror, "the server closed the connection after 700 bytes", Some(700));
    assert_eq!(place.ok(Some(&mirror), PREDICT).stdout, PREDICTED);
    assert_eq!(mirror.ranges(), [None, Some("bytes=700-".into())]);
    assert!(!place.part().exists());
}

#[test]
fn a_server_without_ranges_sends_all_of_it_again() {
    let place = Place::new();
    let mirror = Mirror::start(&[Reply::Cut(700), Reply::SendWhole]);
    place.check_failure(&mirror, "the server closed the connection after 700 bytes", Some(700));
    assert_eq!(place.ok(Some(&mirror), PREDICT).stdout, PREDICTED);
    assert_eq!(mirror.ranges(), [None, Some("bytes=700-".into())]);
}

#[test]
fn a_server_that_hangs_is_given_up() {
    let place = Place::new();
    let mirror = Mirror::start(&[Reply::Stall(700)]);
    place.check_failure(&mirror, "no data for 1s after 700 bytes", Some(700));
}

#[test]
fn a_wrong_file_is_refused() {
    let place = Place::new();
    let mirror = Mirror::start(&[Reply::Turned]);
    let says = format!("not {FILE}: 59888 bytes with sha256 ");
    place.check_failure(&mirror, &says, None);
    let mirror = Mirror::start(&[Reply::NotFound]);
    place.check_failure(&mirror, "the server answered 404 Not Found", None);
}

#[test]
fn offline_is_told_with_what_to_do() {
    let place = Place::new();
    let done = place.run(None, &format!("{PREDICT} --offline"));
    assert_eq!((done.code, &*done.stdout), (Some(3), ""));
    insta::assert_snapshot!(done.stderr);
    place.put();
    assert_eq!(place.ok(None, &format!("{PREDICT} --offline")).stdout, PREDICTED);
}

#[test]
fn what_pytorch_has_is_not_fetched_again() {
    let place = Place::new();
    let cache = place.0.path("torch/hub/checkpoints");
    std::fs::create_dir_all(&cache).unwrap();
    std::fs::write(cache.join(FILE), stand_in()).unwrap();
    assert_eq!(place.ok(None, &format!("{PREDICT} --offline")).stdout, PREDICTED);
    assert!(place.file().exists());
}

#[test]
fn a_network_that_is_known_by_name_stands_for_a_run() {
    let place = Place::new();
    place.put();
    let summary = place.ok(None, "summary imagenet-vgg16 --device cpu").stdout;
    assert!(summary.contains("138 357 544"), "{summary}");
    place.ok(None, "extract torchvision:vgg11 boot.png --output x.npy --device cpu");
    place.ok(None, "export imagenet-vgg11 --format safetensors --output x.safetensors");
    place.ok(None, "import imagenet-vgg11 --to imported");
    let predicted = place.ok(None, "predict imported boot.png --top 2 --device cpu");
    assert_eq!(predicted.stdout, PREDICTED);
    let exported = place.ok(None, "predict x.safetensors boot.png --top 2 --device cpu");
    assert_eq!(exported.stdout, PREDICTED);
    let error = failure(&place.0, "predict imagenet-vgg12 boot.png");
    assert!(
        error.starts_with(
            "2\nerror: there is no run imagenet-vgg12\nhelp: did you mean `imagenet-vgg1"
        ),
        "{error}"
    );
}

/// A run of the stand-in's network that starts from it.
const START: &str = "tiny.toml --threads 1 --set init.from=imagenet --set model.width=0.015625 --set \
                     model.fc_width=8 --set model.image_size=224 --set train.epochs=1 --set \
                     data.train_limit=32 --set report.page=false";

#[test]
fn a_run_notes_what_it_started_from() {
    let place = Place::new();
    place.put();
    let done = place.ok(None, START);
    assert!(done.stderr.contains("classifier.0: a copy of classifier.0"), "{}", done.stderr);
    assert!(done.stderr.contains("classifier.6: initialised, "), "{}", done.stderr);
    let config = place.0.read("runs/tiny-1/config.toml");
    assert!(config.contains("from = \"imagenet\""), "{config}");
    let sha256 = "8a71904669761e4c13ab791518796a684aadbfb2a5e7c4acb0a638baecf4df8c";
    assert!(config.contains(&format!("from_sha256 = \"{sha256}\"")), "{config}");
    let log = place.0.read("runs/tiny-1/log.txt");
    assert!(log.contains("non-commercial research"), "{log}");
    // Another file is another start.
    let done = place.run(None, &format!("{START} --set init.from_sha256=8a719046"));
    assert_eq!(done.code, Some(7), "{}", done.stderr);
    assert!(done.stderr.contains("not 8a719046\n"), "{}", done.stderr);
}

#[test]
fn names_of_no_weights_are_refused_before_anything_is_fetched() {
    let place = Place::new();
    let refused = |set: &str| failure(&place.0, &format!("tiny.toml --set {set}"));
    let error = refused("init.from=imagenet --set model.arch=vgg11-lrn");
    assert!(error.starts_with("2\n") && error.contains("init.from = \"imagenet\" has no weights of vgg11-lrn: it has those of vgg11, vgg13, vgg16, vgg19"), "{error}");
    let error = refused("init.from=torchvision:vgg12");
    assert!(
        error.starts_with("2\n")
            && error
                .contains("torchvision has vgg11, vgg13, vgg16, vgg19, and these with _bn behind"),
        "{error}"
    );
    let error = refused("init.from_sha256=8a719046");
    assert!(error.contains("init.from_sha256 is for weights that init.from names"), "{error}");
}
