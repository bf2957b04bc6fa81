//! `watch [FOLDER]`: runs as they train, as a page of this machine.

use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Args, ValueHint};

use crate::config;
use crate::failure::{Code, Failure};
use crate::signals::Stop;
use crate::terminal::print::{self, ReaderGone};
use crate::terminal::ui::Ui;
use crate::watch::{Classifier, Looked, Routes, Server, Watched};

/// How often it is looked for a signal.
const PAUSE: Duration = Duration::from_millis(50);

/// What is watched, and where.
#[derive(Debug, Args)]
pub(crate) struct WatchOptions {
    /// Folder of the run folders, or a run
    #[arg(env = "VGG_RUNS_DIR", default_value = "runs", value_hint = ValueHint::DirPath)]
    folder: PathBuf,

    /// Port of the page [default: one that is free]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    port: u16,

    /// Open the page in a browser
    #[arg(long)]
    open: bool,
}

/// Serves the page until a signal comes.
pub(crate) fn command(options: &WatchOptions, device: config::Device, ui: &Ui) -> Result<Code> {
    let WatchOptions { folder, port, open } = options;
    let watched = Watched::new(folder)?;
    let stop = Stop::listen()?;
    let server = Server::bind(*port).with_context(|| cannot_listen(*port))?;
    let port = server.port()?;
    let page = format!("http://127.0.0.1:{port}/");
    let routes = Routes::new(watched, Looked::new(ui), Classifier::new(device));
    let serve = move || server.serve(routes);
    thread::Builder::new().name("server".into()).spawn(serve).context("cannot start a thread")?;
    ui.status("Watching", &format!("{}; Ctrl-C ends it", folder.display()));
    ui.detail(&format!(
        "from another machine: ssh -L {port}:127.0.0.1:{port} HOST, then the same page"
    ));
    match print::lines([&page]) {
        // Who needs the page has its address.
        Err(error) if error.is::<ReaderGone>() => {}
        printed => printed?,
    }
    let mut browser = match open.then(|| open_browser(&page)).transpose() {
        Ok(browser) => browser,
        Err(error) => {
            ui.warn(&format!("cannot open a browser: {error}"));
            None
        }
    };
    loop {
        if let Some(code) = stop.requested() {
            return Ok(code);
        }
        // Its program may end as soon as there is a page, or with the browser.
        if let Some(status) = browser.as_mut().and_then(|browser| browser.try_wait().transpose()) {
            browser = None;
            if !status.is_ok_and(|status| status.success()) {
                ui.warn("no browser could be opened");
            }
        }
        thread::sleep(PAUSE);
    }
}

fn cannot_listen(port: u16) -> Failure {
    let failure = Failure::new(Code::Other, format!("cannot have port {port} of 127.0.0.1"));
    failure.help("without --port it is one that is free")
}

/// Asks the system for a browser, which need not be there.
fn open_browser(page: &str) -> io::Result<Child> {
    let words: &[&str] = match () {
        () if cfg!(target_os = "macos") => &["open"],
        () if cfg!(windows) => &["rundll32", "url.dll,FileProtocolHandler"],
        () => &["xdg-open"],
    };
    let mut command = Command::new(words[0]);
    command
        .args(&words[1..])
        .arg(page)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}
