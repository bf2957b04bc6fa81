//! How the program ends: exit codes, and failures that say what the user can do.

/// Why the program ends, as its exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    /// All is done.
    Success = 0,
    /// Any failure without a code of its own.
    Other = 1,
    /// A bad option, config key or value.
    Usage = 2,
    /// Data that are missing or damaged.
    Data = 3,
    /// A device that this machine or build does not have.
    Device = 4,
    /// Not enough memory.
    Memory = 5,
    /// Training diverged.
    Diverged = 6,
    /// A checkpoint that cannot be read or does not fit the network.
    Checkpoint = 7,
    /// Stopped by SIGTERM, SIGUSR1 or SIGHUP with the state saved (`EX_TEMPFAIL`: run me again).
    Terminated = 75,
    /// Stopped by Ctrl-C with the state saved.
    Interrupted = 130,
}

impl Code {
    /// All of them, and what users are told of them.
    pub(crate) const ALL: [(Self, &str); 10] = [
        (Self::Success, "finished"),
        (Self::Other, "any failure not below"),
        (Self::Usage, "bad option, config key or value"),
        (Self::Data, "data missing or damaged"),
        (Self::Device, "device not available"),
        (Self::Memory, "not enough memory"),
        (Self::Diverged, "training diverged"),
        (Self::Checkpoint, "checkpoint unreadable or of another network"),
        (
            Self::Terminated,
            "stopped by SIGTERM, SIGUSR1 or SIGHUP, state saved: `vgg-train resume RUN`",
        ),
        (
            Self::Interrupted,
            "stopped by Ctrl-C, state saved; a second Ctrl-C, a second later or more, leaves at once",
        ),
    ];
}

/// A failure with an exit code, and what the user can do about it.
///
/// Alone it is an error; as the context of another error it gives that one its code and its help.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub code: Code,
    pub message: String,
    pub help: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: None }
    }

    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The exit code of an error.
pub(crate) fn code(error: &anyhow::Error) -> Code {
    // Whatever was being done.
    if error.chain().any(is_out_of_memory) {
        return Code::Memory;
    }
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return failure.code;
    }
    match error.downcast_ref::<vgg_tensor::Error>() {
        Some(vgg_tensor::Error::Shape(_)) => Code::Usage,
        Some(vgg_tensor::Error::Unavailable { .. }) => Code::Device,
        Some(vgg_tensor::Error::OutOfMemory { .. }) => Code::Memory,
        Some(vgg_tensor::Error::Format { .. }) => Code::Data,
        _ => Code::Other,
    }
}

fn is_out_of_memory(cause: &(dyn std::error::Error + 'static)) -> bool {
    use std::io::{Error as Io, ErrorKind};
    let is_io = |io: &Io| io.kind() == ErrorKind::OutOfMemory;
    match cause.downcast_ref::<vgg_tensor::Error>() {
        Some(vgg_tensor::Error::OutOfMemory { .. }) => true,
        Some(vgg_tensor::Error::Io { source, .. }) => is_io(source),
        _ => cause.downcast_ref::<Io>().is_some_and(is_io),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};

    use super::*;

    #[test]
    fn a_failure_gives_its_code_to_the_error_it_wraps() {
        let error = anyhow!("no space left on device")
            .context("last.safetensors")
            .context(Failure::new(Code::Checkpoint, "cannot save the run"));
        assert_eq!(code(&error), Code::Checkpoint);
    }

    #[test]
    fn library_errors_have_codes() {
        let code = |error: vgg_tensor::Error| {
            code(&Err::<(), _>(error).context("in some context").unwrap_err())
        };
        assert_eq!(code(vgg_tensor::Error::OutOfMemory { bytes: 1 }), Code::Memory);
        assert_eq!(code(vgg_tensor::Error::Shape("x".into())), Code::Usage);
        let io = std::io::Error::from(std::io::ErrorKind::OutOfMemory);
        assert_eq!(code(vgg_tensor::Error::Io { path: "a.png".into(), source: io }), Code::Memory);
        let reading = Failure::new(Code::Data, "cannot read an image");
        let error = Err::<(), _>(vgg_tensor::Error::OutOfMemory { bytes: 1 }).context(reading);
        assert_eq!(super::code(&error.unwrap_err()), Code::Memory);
        let unavailable = vgg_tensor::Error::Unavailable { what: "x".into(), hint: "y".into() };
        assert_eq!(code(unavailable), Code::Device);
    }
}
