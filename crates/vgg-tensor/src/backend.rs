//! The seam between the model and a device.

use crate::{Command, Content, Download, Program, Result, Scalars, Shared};

/// One device and one ordered stream of work on it.
///
/// What it computes are [`Program`]s, whose [`Command`]s say what their results are. It compiles a
/// program once, with the memory it runs in, and runs it as often as it is asked to. All else here is
/// memory and transfers. A call may return before its work is done; only [`Backend::download`] and
/// [`Download::wait`] wait for all that was ordered before.
///
/// How activations and weights lie in a [`Backend::Buffer`] is the backend's own business;
/// [`Backend::upload`] and [`Backend::download`] translate. Results do not depend on how many
/// threads a backend has, and are the same in every run on the same machine.
///
/// # Errors
/// Every method returns [`crate::Error::Device`] if the device fails, and those that take memory also
/// [`crate::Error::OutOfMemory`].
///
/// # Panics
/// If a buffer was allocated for less than a command needs: that is a bug in the caller.
pub trait Backend {
    /// Plain device memory. Shapes live in the specs. What was allocated for `n` [`Content::Bytes`]
    /// may hold anything else that [`Backend::bytes`] says is no larger, one after the other.
    type Buffer;

    /// Numbers on their way from the device.
    type Download: Download;

    /// A program that was compiled.
    type Executable;

    /// One line for the user: the device, its instruction set or driver, its threads.
    fn describe(&self) -> String;

    /// Bytes that are free on a device with memory of its own. Nothing where it is the host's.
    fn free_memory(&self) -> Option<u64> {
        None
    }

    /// Bytes that [`Backend::alloc`] takes for `content`.
    fn bytes(&self, content: Content) -> u64 {
        content.bytes() as u64
    }

    /// Bytes that programs take besides their buffers, as far as that is known before they are
    /// compiled. They run one after the other, and each has parameters of its own.
    fn workspace(&self, _programs: &[&Program]) -> u64 {
        0
    }

    /// Images, at least 1, that a forward pass takes at once, where more would be faster by some percent
    /// at most and take more memory. Nothing where more are much faster.
    fn images_at_once(&self) -> Option<usize> {
        None
    }

    /// Passes if a command is not too large: a library below may count numbers with 32 bits.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`], saying what is too large for what.
    fn check_size(&self, _command: &Command) -> Result<()> {
        Ok(())
    }

    /// A buffer of zeros with room for `content`.
    fn alloc(&mut self, content: Content) -> Result<Self::Buffer>;

    /// Copies numbers in PyTorch's order to the device, rounded as `content` stores them. `content`
    /// is not `Bytes`, and `src` has exactly its length.
    fn upload(&mut self, content: Content, src: &[f32], dst: &mut Self::Buffer) -> Result<()> {
        assert_eq!(src.len(), content.len(), "numbers to upload");
        self.upload_rows(content, 0, src, dst)
    }

    /// As [`Backend::upload`], of some of the [rows](Content::rows): those that `src` has, from row
    /// `first` on. The other rows stay as they are.
    fn upload_rows(
        &mut self,
        content: Content,
        first: usize,
        src: &[f32],
        dst: &mut Self::Buffer,
    ) -> Result<()>;

    /// Copies bytes to the start of a buffer of `Bytes`. Labels go up as `u32` in native byte order.
    fn upload_bytes(&mut self, src: &[u8], dst: &mut Self::Buffer) -> Result<()>;

    /// Copies numbers in PyTorch's order from the device, after all work ordered before.
    /// `content` is not `Bytes`, and `dst` has exactly its length.
    fn download(&mut self, content: Content, src: &Self::Buffer, dst: &mut [f32]) -> Result<()>;

    /// As [`Backend::download`], without waiting. The numbers are those of now: what is ordered next
    /// may change the buffer.
    fn start_download(&mut self, content: Content, src: &Self::Buffer) -> Result<Self::Download>;

    /// What this backend has come to in training that decides about further steps, besides what its
    /// buffers hold: nothing on most. A run that is to go on to the bit keeps it.
    fn state(&mut self) -> Result<Vec<u32>> {
        Ok(Vec::new())
    }

    /// Goes on from what [`Backend::state`] gave. Of a backend of another kind, it is ignored.
    fn restore_state(&mut self, _state: &[u32]) -> Result<()> {
        Ok(())
    }

    /// Makes a program ready to run, again and again, in these buffers, one for each of its own. It
    /// takes what the program needs besides, so that a run finds it there.
    ///
    /// # Errors
    /// [`crate::Error::Program`] if buffers are the same memory that must not be
    /// ([`crate::Executable::new`] says when).
    fn compile(
        &mut self,
        program: &Program,
        buffers: Vec<Shared<Self::Buffer>>,
    ) -> Result<Self::Executable>;

    /// Orders a program's commands.
    ///
    /// # Panics
    /// If somebody else holds a lock of one of its buffers meanwhile.
    fn run(&mut self, executable: &mut Self::Executable, scalars: Scalars) -> Result<()>;
}
