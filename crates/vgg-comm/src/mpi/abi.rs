//! MPI's functions, found in a library at run time.
//!
//! Three binary interfaces are in use, which differ in what a handle is and in constants: Open MPI's,
//! where handles are pointers to objects of the library; MPICH's, where they are numbers of 32 bits,
//! and which Intel's, Cray's and MVAPICH share; and that of the MPI 5 standard, where they are pointers
//! that count up.

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::fmt;
use std::ptr::null_mut;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW, Symbol};

/// A call that failed, in the library's words.
#[derive(Debug)]
pub(super) struct Failure {
    function: &'static str,
    words: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.function, self.words)
    }
}

impl std::error::Error for Failure {}

/// What is needed of MPI, on the thread that has initialised it.
pub(super) trait Mpi {
    /// The library's own words on what it is, one line.
    fn version(&self) -> String;

    /// This rank, and how many there are.
    fn world(&self) -> Result<[usize; 2], Failure>;

    /// Begins to send bytes to a rank.
    ///
    /// # Safety
    /// They stay where they are, unchanged, until the transfer is done.
    unsafe fn send(&self, to: usize, bytes: &[u8]) -> Result<Box<dyn Transfer + '_>, Failure>;

    /// Begins to receive what a rank sends, in the order in which it does.
    ///
    /// # Safety
    /// Nobody uses the room until the transfer is done, and it lives as long.
    unsafe fn receive(
        &self,
        from: usize,
        room: &mut [u8],
    ) -> Result<Box<dyn Transfer + '_>, Failure>;

    /// The last call: waits for all ranks to make it.
    fn finalize(&self);
}

/// Bytes under way.
pub(super) trait Transfer {
    /// Whether they have arrived, or can be used again.
    fn is_done(&mut self) -> Result<bool, Failure>;
}

/// The most bytes of a message: lengths are counted in a C `int`.
pub(super) const MOST: usize = 1 << 30;

/// Opens a library and initialises MPI on this thread, which makes all calls.
///
/// # Errors
/// Why it cannot be used, in words.
pub(super) fn open(file: &OsStr) -> Result<Box<dyn Mpi>, String> {
    // SAFETY: a library of MPI has no requirements for being opened. Open MPI finds its parts by names that all
    // libraries see.
    let library = unsafe { Library::open(Some(file), RTLD_NOW | RTLD_GLOBAL) };
    // It is never closed: its functions are called to the end, and it may have threads.
    let library: &Library = Box::leak(Box::new(library.map_err(|error| error.to_string())?));
    let object = |name: &str| {
        // SAFETY: its address is taken, and nothing is read there.
        let symbol: Result<Symbol<*mut c_void>, _> = unsafe { library.get(name.as_bytes()) };
        symbol.map(Symbol::into_raw).ok()
    };
    let open_mpi = ["ompi_mpi_comm_world", "ompi_mpi_byte", "ompi_mpi_errors_return"].map(object);
    if let [Some(world), Some(byte), Some(errors_return)] = open_mpi {
        let handles = Handles { world, byte, errors_return };
        return start(library, handles, Constants { funneled: 1, ignored_status: null_mut() });
    }
    // It names its version only if the library's own constants are the standard's.
    if is_standard(library) {
        let [world, byte, errors_return] =
            [0x101_usize, 0x247, 0x143].map(std::ptr::without_provenance_mut);
        let handles = Handles { world, byte, errors_return };
        return start(library, handles, Constants { funneled: 1024, ignored_status: null_mut() });
    }
    let handles: Handles<c_int> =
        Handles { world: 0x4400_0000, byte: 0x4c00_010d, errors_return: 0x5400_0001 };
    let ignored_status = std::ptr::without_provenance_mut(1);
    start(library, handles, Constants { funneled: 1, ignored_status })
}

/// Whether a library has the standard's interface.
fn is_standard(library: &Library) -> bool {
    type Version = unsafe extern "C" fn(*mut c_int, *mut c_int) -> c_int;
    // SAFETY: the type is that of the standard.
    let version: Result<Symbol<Version>, _> = unsafe { library.get(b"MPI_Abi_get_version") };
    let Ok(version) = version else { return false };
    let (mut major, mut minor) = (-1, -1);
    // SAFETY: it may be called before MPI is initialised, and writes two numbers.
    let code = unsafe { version(&raw mut major, &raw mut minor) };
    code == 0 && major >= 1
}

/// What an interface refers to its objects by.
trait Handle: Copy + 'static {
    /// A place for one that the library writes.
    const NONE: Self;
}

impl Handle for c_int {
    const NONE: Self = 0;
}

impl Handle for *mut c_void {
    const NONE: Self = null_mut();
}

/// MPI's objects, as an interface hands them.
#[derive(Clone, Copy)]
struct Handles<H> {
    world: H,
    byte: H,
    errors_return: H,
}

/// What else an interface has of its own.
#[derive(Clone, Copy)]
struct Constants {
    /// Only the thread that initialised MPI calls it.
    funneled: c_int,
    ignored_status: *mut c_void,
}

type Message<Bytes, H> = unsafe extern "C" fn(Bytes, c_int, H, c_int, c_int, H, *mut H) -> c_int;

/// The functions, whose handles are of type `H`.
struct Functions<H> {
    handles: Handles<H>,
    ignored_status: *mut c_void,
    comm_rank: unsafe extern "C" fn(H, *mut c_int) -> c_int,
    comm_size: unsafe extern "C" fn(H, *mut c_int) -> c_int,
    isend: Message<*const c_void, H>,
    irecv: Message<*mut c_void, H>,
    test: unsafe extern "C" fn(*mut H, *mut c_int, *mut c_void) -> c_int,
    error_string: unsafe extern "C" fn(c_int, *mut c_char, *mut c_int) -> c_int,
    library_version: unsafe extern "C" fn(*mut c_char, *mut c_int) -> c_int,
    finalize: unsafe extern "C" fn() -> c_int,
}

/// Finds the functions and initialises MPI.
fn start<H: Handle>(
    library: &Library,
    handles: Handles<H>,
    constants: Constants,
) -> Result<Box<dyn Mpi>, String> {
    type Init = unsafe extern "C" fn(*mut c_int, *mut *mut *mut c_char, c_int, *mut c_int) -> c_int;
    type SetErrhandler<H> = unsafe extern "C" fn(H, H) -> c_int;
    // SAFETY: these are the types of the standard, with the interface's handles.
    let (init, set_errhandler, functions) = unsafe {
        let init: Init = function(library, "MPI_Init_thread")?;
        let set_errhandler: SetErrhandler<H> = function(library, "MPI_Comm_set_errhandler")?;
        let functions = Functions {
            handles,
            ignored_status: constants.ignored_status,
            comm_rank: function(library, "MPI_Comm_rank")?,
            comm_size: function(library, "MPI_Comm_size")?,
            isend: function(library, "MPI_Isend")?,
            irecv: function(library, "MPI_Irecv")?,
            test: function(library, "MPI_Test")?,
            error_string: function(library, "MPI_Error_string")?,
            library_version: function(library, "MPI_Get_library_version")?,
            finalize: function(library, "MPI_Finalize")?,
        };
        (init, set_errhandler, functions)
    };
    let mut provided = 0;
    // SAFETY: it takes no arguments where there are none to give, and is called once.
    let code = unsafe { init(null_mut(), null_mut(), constants.funneled, &raw mut provided) };
    functions.check("MPI_Init_thread", code).map_err(|failure| failure.to_string())?;
    if provided < constants.funneled {
        return Err("it does not allow programs that have threads".into());
    }
    // SAFETY: MPI is initialised; the handles are its own.
    let code = unsafe { set_errhandler(handles.world, handles.errors_return) };
    functions.check("MPI_Comm_set_errhandler", code).map_err(|failure| failure.to_string())?;
    Ok(Box::new(functions))
}

/// A function of the library, which stays open.
///
/// # Safety
/// `F` is its type.
unsafe fn function<F: Copy>(library: &Library, name: &str) -> Result<F, String> {
    // SAFETY: the caller's promise.
    let symbol: Symbol<F> = unsafe { library.get(name.as_bytes()) }
        .map_err(|_| format!("it has no function {name}"))?;
    Ok(*symbol)
}

impl<H: Handle> Functions<H> {
    fn check(&self, function: &'static str, code: c_int) -> Result<(), Failure> {
        if code == 0 {
            return Ok(());
        }
        let words = text(|words, len| {
            // SAFETY: there is room for the longest text of any interface.
            unsafe { (self.error_string)(code, words, len) }
        });
        Err(Failure { function, words: words.unwrap_or_else(|| format!("error {code}")) })
    }

    fn number(
        &self,
        function: &'static str,
        of: unsafe extern "C" fn(H, *mut c_int) -> c_int,
    ) -> Result<usize, Failure> {
        let mut number = 0;
        // SAFETY: the handle is the library's own, and it writes one number.
        self.check(function, unsafe { of(self.handles.world, &raw mut number) })?;
        Ok(usize::try_from(number).expect("ranks are not negative"))
    }
}

impl<H: Handle> Mpi for Functions<H> {
    fn version(&self) -> String {
        // SAFETY: there is room for the longest text of any interface.
        let words = text(|words, len| unsafe { (self.library_version)(words, len) });
        let words = words.unwrap_or_default();
        let line = words.lines().next().unwrap_or_default();
        // Some go on with who built it, and how.
        let line = line.split(", package").next().unwrap_or_default();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn world(&self) -> Result<[usize; 2], Failure> {
        let rank = self.number("MPI_Comm_rank", self.comm_rank)?;
        Ok([rank, self.number("MPI_Comm_size", self.comm_size)?])
    }

    unsafe fn send(&self, to: usize, bytes: &[u8]) -> Result<Box<dyn Transfer + '_>, Failure> {
        let (mut request, Handles { world, byte, .. }) = (H::NONE, self.handles);
        let (start, len, to) = (bytes.as_ptr().cast(), bytes.len() as c_int, to as c_int);
        // SAFETY: the caller's promise; handles are the library's own.
        let code = unsafe { (self.isend)(start, len, byte, to, 0, world, &raw mut request) };
        self.check("MPI_Isend", code)?;
        Ok(Box::new(Request { functions: self, request }))
    }

    unsafe fn receive(
        &self,
        from: usize,
        room: &mut [u8],
    ) -> Result<Box<dyn Transfer + '_>, Failure> {
        let (mut request, Handles { world, byte, .. }) = (H::NONE, self.handles);
        let (start, len, from) = (room.as_mut_ptr().cast(), room.len() as c_int, from as c_int);
        // SAFETY: the caller's promise; handles are the library's own.
        let code = unsafe { (self.irecv)(start, len, byte, from, 0, world, &raw mut request) };
        self.check("MPI_Irecv", code)?;
        Ok(Box::new(Request { functions: self, request }))
    }

    fn finalize(&self) {
        // SAFETY: no call follows it.
        unsafe { (self.finalize)() };
    }
}

/// A transfer that was begun and not found to be done.
struct Request<'a, H> {
    functions: &'a Functions<H>,
    request: H,
}

impl<H: Handle> Transfer for Request<'_, H> {
    fn is_done(&mut self) -> Result<bool, Failure> {
        let Functions { test, ignored_status, .. } = *self.functions;
        let mut done = 0;
        // SAFETY: the request is the library's own; who was done becomes its null, which is done, too.
        let code = unsafe { test(&raw mut self.request, &raw mut done, ignored_status) };
        self.functions.check("MPI_Test", code)?;
        Ok(done != 0)
    }
}

/// The text that a function writes, with its length.
fn text(write: impl FnOnce(*mut c_char, *mut c_int) -> c_int) -> Option<String> {
    const LONGEST: usize = 8192;
    let mut words: [c_char; LONGEST + 1] = [0; LONGEST + 1];
    let mut len = 0;
    if write(words.as_mut_ptr(), &raw mut len) != 0 {
        return None;
    }
    words[LONGEST] = 0;
    // SAFETY: it ends with a zero.
    let words = unsafe { CStr::from_ptr(words.as_ptr()) };
    Some(words.to_string_lossy().trim().into())
}
