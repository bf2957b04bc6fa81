//! Connections, each of which has a request and its answer.

use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::routes::Routes;

/// Connections at a time, others wait. A browser has up to six, some of which wait for a request to come.
const CONNECTIONS: usize = 64;

/// Bytes of a request line and headers, and of what is kept of anything else that comes or goes.
const MAX_HEAD: usize = 1 << 14;

/// How long a request may take to come without its body, and all of a connection.
const HEAD_TIME: Duration = Duration::from_secs(10);
const CONNECTION_TIME: Duration = Duration::from_secs(300);

/// How long what is sent to nobody is still taken, so that the sender reads the answer.
const REST_TIME: Duration = Duration::from_secs(5);

/// After a connection that could not be taken.
const PAUSE: Duration = Duration::from_millis(100);

/// A port of this machine that others cannot reach.
#[derive(Debug)]
pub(crate) struct Server {
    runtime: Runtime,
    listener: TcpListener,
}

impl Server {
    /// Takes the port, or any that is free if it is 0.
    pub(crate) fn bind(port: u16) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, port)))?;
        Ok(Self { runtime, listener })
    }

    /// The port that it has.
    pub(crate) fn port(&self) -> io::Result<u16> {
        Ok(self.listener.local_addr()?.port())
    }

    /// Answers whoever asks, for as long as the process lives.
    pub(crate) fn serve(self, routes: Routes) {
        let (routes, places) = (Arc::new(routes), Arc::new(Semaphore::new(CONNECTIONS)));
        self.runtime.block_on(async {
            loop {
                let place = places.clone().acquire_owned().await;
                match self.listener.accept().await {
                    Ok((stream, _)) => {
                        let routes = routes.clone();
                        tokio::spawn(async move {
                            talk(stream, routes).await;
                            drop(place);
                        });
                    }
                    Err(error) => {
                        // Of a client that has gone already, or of too many open files.
                        tracing::warn!("cannot take a connection: {error}");
                        sleep(PAUSE).await;
                    }
                }
            }
        })
    }
}

/// Reads a request and answers it.
async fn talk(mut stream: TcpStream, routes: Arc<Routes>) {
    let answer = service_fn(|request| {
        let answer = routes.clone().answer(request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(MAX_HEAD)
        .keep_alive(false)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(&mut stream), answer);
    match timeout(CONNECTION_TIME, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("a connection ended: {error}"),
        Err(_) => tracing::debug!("a connection took too long"),
    }
    // A connection that is closed while something comes is reset, and the answer is lost.
    let _ = timeout(REST_TIME, tokio::io::copy(&mut stream, &mut tokio::io::sink())).await;
}
