//! Connections, each of which has a request and its answer.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::request::{Connection, Request};
use super::response::Response;
use super::routes::Routes;

/// Connections at a time. A browser has up to six, some of which wait for a request to come.
const CONNECTIONS: usize = 64;

/// After a connection that could not be taken.
const PAUSE: Duration = Duration::from_millis(100);

/// A port of this machine that others cannot reach.
#[derive(Debug)]
pub(crate) struct Server {
    listener: TcpListener,
}

impl Server {
    /// Takes the port, or any that is free if it is 0.
    pub(crate) fn bind(port: u16) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind((Ipv4Addr::LOCALHOST, port))? })
    }

    /// The port that it has.
    pub(crate) fn port(&self) -> io::Result<u16> {
        Ok(self.listener.local_addr()?.port())
    }

    /// Answers whoever asks, for as long as the process lives. Each has a thread, so that who is slow is
    /// slow for itself.
    pub(crate) fn serve(self, routes: Routes) {
        let routes = Arc::new(routes);
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Of a client that has gone already, or of too many open files.
                    tracing::warn!("cannot take a connection: {error}");
                    thread::sleep(PAUSE);
                    continue;
                }
            };
            // The thread of each connection has one, and this one.
            if Arc::strong_count(&routes) > CONNECTIONS {
                tracing::warn!("there are {CONNECTIONS} connections: another one is refused");
                continue;
            }
            let routes = routes.clone();
            let talk = move || {
                if let Err(error) = talk(stream, &routes) {
                    tracing::debug!("a connection ended: {error}");
                }
            };
            if let Err(error) = thread::Builder::new().name("connection".into()).spawn(talk) {
                tracing::warn!("cannot take a connection: {error}");
            }
        }
    }
}

/// Reads a request and answers it.
fn talk(stream: TcpStream, routes: &Routes) -> io::Result<()> {
    let mut connection = Connection::new(stream);
    let (response, is_head) = match Request::read(&mut connection) {
        Ok(mut request) => (routes.answer(&mut request), request.is_head()),
        // Browsers open connections in advance.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
        Err(error) => match Response::of_unreadable(&error) {
            Some(response) => (response, false),
            None => return Err(error),
        },
    };
    connection.send(&response.to_bytes(is_head))
}
