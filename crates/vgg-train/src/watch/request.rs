//! A request, read from whoever: it may be long, slow, or none at all.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// Bytes of a request line and headers, and the number of headers.
const MAX_HEAD: usize = 1 << 14;
const MAX_HEADERS: usize = 64;

/// How long a request may take to come, without its body and with it, and an answer to go.
const HEAD_TIME: Duration = Duration::from_secs(10);
const BODY_TIME: Duration = Duration::from_secs(60);
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// How long what is sent to nobody is still taken, so that the sender reads the answer.
const REST_TIME: Duration = Duration::from_secs(5);

/// A client's connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    /// What came after the head.
    ahead: Vec<u8>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, ahead: vec![] }
    }

    /// Reads some bytes before `deadline`; none at the end.
    fn read(&mut self, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        self.stream.read(buffer)
    }

    /// Sends an answer, and ends the connection.
    pub(super) fn send(mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.set_write_timeout(Some(ANSWER_TIME))?;
        self.stream.write_all(bytes)?;
        self.stream.shutdown(Shutdown::Write)?;
        // A connection that is closed while something comes is reset, and the answer is lost.
        let (mut rest, deadline) = ([0; 1 << 14], Instant::now() + REST_TIME);
        while self.read(&mut rest, deadline)? > 0 {}
        Ok(())
    }
}

/// What is asked for.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub method: String,
    /// The words between the slashes, decoded: bytes, as names of files are.
    pub path: Vec<Vec<u8>>,
    /// Lower-case names, with values.
    headers: Vec<(String, Vec<u8>)>,
    connection: &'a mut Connection,
}

impl<'a> Request<'a> {
    /// Reads all but the body.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidData`] of what is no request, [`ErrorKind::FileTooLarge`] of a long one,
    /// [`ErrorKind::TimedOut`] or [`ErrorKind::WouldBlock`] of a slow one, [`ErrorKind::UnexpectedEof`]
    /// if there is none.
    pub(super) fn read(connection: &'a mut Connection) -> io::Result<Self> {
        let (mut head, mut buffer) = (Vec::new(), [0; 1 << 12]);
        let deadline = Instant::now() + HEAD_TIME;
        loop {
            let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
            let mut parsed = httparse::Request::new(&mut headers);
            match parsed.parse(&head) {
                Ok(httparse::Status::Complete(length)) => {
                    let [method, target] =
                        [parsed.method, parsed.path].map(Option::unwrap_or_default);
                    let path = path(target).ok_or(ErrorKind::InvalidData)?;
                    let own = |header: &httparse::Header<'_>| {
                        (header.name.to_ascii_lowercase(), header.value.to_vec())
                    };
                    let (method, headers) =
                        (method.to_owned(), parsed.headers.iter().map(own).collect());
                    connection.ahead = head.split_off(length);
                    return Ok(Self { method, path, headers, connection });
                }
                Ok(httparse::Status::Partial) if head.len() < MAX_HEAD => {}
                Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
                    return Err(ErrorKind::FileTooLarge.into());
                }
                Err(_) => return Err(ErrorKind::InvalidData.into()),
            }
            match connection.read(&mut buffer, deadline)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                length => head.extend_from_slice(&buffer[..length]),
            }
        }
    }

    pub(super) fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    /// A header's value; none where it is not there, twice, or no text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(other, _)| other == name);
        match (values.next(), values.next()) {
            (Some((_, value)), None) => str::from_utf8(value).ok(),
            _ => None,
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(other, _)| other == name)
    }

    /// Reads the body of up to `most` bytes.
    ///
    /// # Errors
    /// A status and the reason, if it is longer, of unknown length, or not all there in time.
    pub(super) fn body(&mut self, most: usize) -> Result<Vec<u8>, (u16, String)> {
        let length = self.header("content-length").filter(|_| !self.has("transfer-encoding"));
        let length = length.and_then(|length| length.parse::<u64>().ok());
        let length = length.ok_or_else(|| (411, "its length is not told".to_owned()))?;
        let fits = usize::try_from(length).ok().filter(|length| *length <= most);
        let length = fits.ok_or_else(|| (413, format!("it is larger than {} MiB", most >> 20)))?;
        let expects =
            self.header("expect").is_some_and(|it| it.eq_ignore_ascii_case("100-continue"));
        let connection = &mut *self.connection;
        let mut body = std::mem::take(&mut connection.ahead);
        let mut fill = || {
            if expects && body.len() < length {
                connection.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            let (mut buffer, deadline) = (vec![0; 1 << 16], Instant::now() + BODY_TIME);
            while body.len() < length {
                match connection.read(&mut buffer, deadline)? {
                    0 => return Err(io::Error::from(ErrorKind::UnexpectedEof)),
                    read => body.extend_from_slice(&buffer[..read]),
                }
            }
            Ok(())
        };
        fill().map_err(|_| (408, "it did not come whole, or not in time".to_owned()))?;
        body.truncate(length);
        Ok(body)
    }
}

/// The words of a path, decoded; none of what is no path on this machine.
fn path(target: &str) -> Option<Vec<Vec<u8>>> {
    let path = target.split(['?', '#']).next()?.strip_prefix('/')?;
    path.split('/').map(decoded).collect()
}

/// Bytes behind a percent-encoded word.
fn decoded(word: &str) -> Option<Vec<u8>> {
    let mut bytes = word.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                (16 * digit()? + digit()?) as u8
            }
            byte => byte,
        });
    }
    Some(decoded)
}

/// A name as a word of a path.
pub(super) fn encoded(name: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut word = String::new();
    for byte in name {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => {
                word.push(char::from(*byte))
            }
            // A dot, too: browsers take `..` for the folder above.
            byte => write!(word, "%{byte:02x}").expect("a string takes all"),
        }
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_path_are_decoded_once() {
        let words = |target| {
            path(target).map(|words| {
                words
                    .iter()
                    .map(|word| String::from_utf8_lossy(word).into_owned())
                    .collect::<Vec<_>>()
            })
        };
        let some = |words: &[&str]| Some(words.iter().map(|word| word.to_string()).collect());
        assert_eq!(words("/"), some(&[""]));
        assert_eq!(words("/runs/a%20b?x=/y"), some(&["runs", "a b"]));
        assert_eq!(words("/runs/..%2f..%2Fetc"), some(&["runs", "../../etc"]));
        assert_eq!(words("/%252e"), some(&["%2e"]));
        for bad in ["", "runs", "http://evil/", "*", "/%", "/%4", "/%zz", "/%+1"] {
            assert_eq!(words(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_come_back_as_they_are() {
        for name in [&b"vgg11_small-1"[..], b"..", b"a/b?c#d%", b"\xff\0 \xc3\xa9"] {
            assert_eq!(decoded(&encoded(name)).unwrap(), name);
        }
        assert_eq!(encoded(b"a.b c"), "a%2eb%20c");
    }
}
