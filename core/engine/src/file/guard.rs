//! The guard that an app may ask for against files that are shortened, or whose storage goes away, while they are mapped:
//! a page that is gone reads as zeros and its mapping is marked, where the system would end the process with SIGBUS.
//!
//! The engine's only signal handler. It acts on faults inside mappings that stand in a table here and hands everything else to
//! the handler before it. It takes no lock, allocates nothing and jumps nowhere. On Apple's systems it is compiled
//! and was never tried.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Error;

/// Mappings that can be watched at once. A model has one for each part.
const PLACES: usize = 1024;

/// The least page of any system; the handler begins with it where the system does not say.
const LEAST_PAGE: usize = 4096;

/// One watched mapping. The handler reads it while others may change it: `version` is odd during a change, and another
/// after it.
struct Place {
    version: AtomicUsize,
    start: AtomicUsize,
    end: AtomicUsize, // 0: nobody has this place
    lost: AtomicPtr<AtomicBool>,
}

static TABLE: [Place; PLACES] = [const { Place::free() }; PLACES];

/// Held by whoever changes the table, which the handler never does.
static CHANGES: Mutex<()> = Mutex::new(());

/// The handler before ours; null before there is one of ours.
static PREVIOUS: AtomicPtr<libc::sigaction> = AtomicPtr::new(ptr::null_mut());

static PAGE: AtomicUsize = AtomicUsize::new(LEAST_PAGE);

impl Place {
    const fn free() -> Self {
        Self {
            version: AtomicUsize::new(0),
            start: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
            lost: AtomicPtr::new(ptr::null_mut()),
        }
    }

    fn set(&self, start: usize, end: usize, lost: *mut AtomicBool) {
        self.version.fetch_add(1, SeqCst);
        self.start.store(start, SeqCst);
        self.end.store(end, SeqCst);
        self.lost.store(lost, SeqCst);
        self.version.fetch_add(1, SeqCst);
    }

    /// The mark of the mapping, if `address` lies in it.
    fn find(&self, address: usize) -> Option<*mut AtomicBool> {
        // A place that changes now belongs to no mapping that anybody reads: it is being made or unmade.
        let version = self.version.load(SeqCst);
        let inside = (self.start.load(SeqCst)..self.end.load(SeqCst)).contains(&address);
        let lost = self.lost.load(SeqCst);
        (inside && version.is_multiple_of(2) && self.version.load(SeqCst) == version).then_some(lost)
    }
}

/// A mapping that stands in the table until this is dropped, which must be before it is unmapped.
#[derive(Debug)]
pub struct Watched {
    place: Option<&'static Place>,
    /// Keeps the mark where the handler finds it.
    _lost: Arc<AtomicBool>,
}

impl Watched {
    /// Watches the mapping that `bytes` are: once a page of it is gone, `lost` is set. Where the table is full, it is not watched.
    pub fn new(bytes: &[u8], lost: &Arc<AtomicBool>) -> Self {
        let _guard = CHANGES.lock().unwrap_or_else(PoisonError::into_inner);
        let place = TABLE.iter().find(|place| place.end.load(SeqCst) == 0);
        match place {
            Some(place) => {
                let start = bytes.as_ptr().addr();
                place.set(start, start + bytes.len(), Arc::as_ptr(lost).cast_mut());
            }
            None => log::warn!("more than {PLACES} mapped files: this one is not guarded"),
        }
        Self { place, _lost: lost.clone() }
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#x}..{:#x}", self.start.load(SeqCst), self.end.load(SeqCst))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _guard = CHANGES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = self.place {
            place.set(0, 0, ptr::null_mut());
        }
    }
}

/// From now on, a model file that is shortened in the middle of a pass ends the turn with [`Error::FileLost`] and not the
/// process with SIGBUS; so does a read error of its storage. For all models, open ones too, and for good: a handler cannot be
/// taken away safely. SIGBUS from anywhere else goes to the handler that the process had. Between passes the file is asked
/// for its length anyway.
///
/// An app that has its own crash reporter calls this after it, or lets the reporter chain to this.
///
/// # Errors
/// [`Error::Guard`] with what the system said.
pub fn guard_mapped_files() -> Result<(), Error> {
    let _guard = CHANGES.lock().unwrap_or_else(PoisonError::into_inner);
    if !PREVIOUS.load(SeqCst).is_null() {
        return Ok(());
    }
    PAGE.store(page_bytes(), SeqCst);
    let failed = || Error::Guard { source: std::io::Error::last_os_error() };
    // SAFETY: all zeros is a valid `sigaction`: no handler, no flags, an empty mask.
    let mut previous: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: only asks; the pointer is to a `sigaction` that may be written.
    if unsafe { libc::sigaction(libc::SIGBUS, ptr::null(), &mut previous) } != 0 {
        return Err(failed());
    }
    // Never freed: the handler may run at any time from here on.
    PREVIOUS.store(Box::into_raw(Box::new(previous)), SeqCst);
    let mut ours = previous;
    let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = on_bus_error;
    ours.sa_sigaction = handler as usize;
    ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: the mask is a field of ours.
    unsafe { libc::sigemptyset(&mut ours.sa_mask) };
    // SAFETY: the handler has the type that `SA_SIGINFO` asks for, and does what a handler may do alone.
    if unsafe { libc::sigaction(libc::SIGBUS, &ours, ptr::null_mut()) } != 0 {
        PREVIOUS.store(ptr::null_mut(), SeqCst);
        return Err(failed());
    }
    Ok(())
}

/// How long the system's pages are.
pub(super) fn page_bytes() -> usize {
    // SAFETY: a question without pointers.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(page).unwrap_or(LEAST_PAGE).max(LEAST_PAGE)
}

extern "C" fn on_bus_error(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: with `SA_SIGINFO` the system hands over a valid pointer.
    let code = unsafe { (*info).si_code };
    // The causes of POSIX are small numbers. What a process sends has none of them, and no address.
    let is_fault = (1..=5).contains(&code);
    // SAFETY: as above; a fault has an address.
    let address = if is_fault { unsafe { (*info).si_addr() }.addr() } else { 0 };
    let found = TABLE.iter().find_map(|place| place.find(address));
    if let Some(lost) = found.filter(|_| is_fault) {
        // Before any thread can read the zeros.
        // SAFETY: whoever reads the mapping keeps it in the table, and the table's entry keeps the mark.
        unsafe { (*lost).store(true, SeqCst) };
        if replace_page(address) {
            return;
        }
    }
    hand_over(signal, info, context, is_fault);
}

/// Puts a page of zeros where `address` is; tells whether the system did it.
fn replace_page(address: usize) -> bool {
    let page = PAGE.load(SeqCst);
    let start = ptr::without_provenance_mut(address & !(page - 1));
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    // SAFETY: the page lies in a read-only mapping of ours, as the table says, and nothing of it can be read any more.
    let mapped = unsafe { libc::mmap(start, page, libc::PROT_READ, flags, -1, 0) };
    mapped != libc::MAP_FAILED
}

/// To the handler that the process had; to the system's way of ending it where there was none.
fn hand_over(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void, is_fault: bool) {
    // SAFETY: set before this handler was installed, never freed and never changed.
    let previous = unsafe { &*PREVIOUS.load(SeqCst) };
    match previous.sa_sigaction {
        // Nobody can ignore a fault: it would come again for ever.
        libc::SIG_IGN if !is_fault => {}
        libc::SIG_DFL | libc::SIG_IGN => {
            // SAFETY: all zeros is a valid `sigaction`, and `SIG_DFL` is zero.
            let default: libc::sigaction = unsafe { std::mem::zeroed() };
            // SAFETY: a valid `sigaction`, in a call that handlers may make.
            unsafe { libc::sigaction(signal, &default, ptr::null_mut()) };
            if !is_fault {
                // A fault comes again by itself when this returns; what was sent does not.
                // SAFETY: a call that handlers may make.
                unsafe { libc::raise(signal) };
            }
        }
        handler if previous.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: with this flag the number is a function of this type.
            let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) =
                unsafe { std::mem::transmute(handler) };
            handler(signal, info, context);
        }
        handler => {
            // SAFETY: without the flag the number is a function of this type.
            let handler: extern "C" fn(c_int) = unsafe { std::mem::transmute(handler) };
            handler(signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn pages_that_are_gone_read_as_zeros_and_mark_their_mapping_alone() {
        guard_mapped_files().expect("a handler may be installed");
        guard_mapped_files().expect("also twice");
        let page = PAGE.load(SeqCst);
        let mapped = |name: &str| {
            let path = std::env::temp_dir().join(format!("sprat-guard-{}-{name}", std::process::id()));
            std::fs::write(&path, vec![7u8; 4 * page]).expect("room on the disk");
            let file = File::options().read(true).write(true).open(&path).expect("just written");
            std::fs::remove_file(path).expect("just written");
            // SAFETY: only bytes are read of it.
            let map = unsafe { memmap2::Mmap::map(&file) }.expect("a file can be mapped");
            let lost = Arc::new(AtomicBool::new(false));
            (Watched::new(&map, &lost), lost, map, file)
        };
        let (_watched, lost, map, file) = mapped("a");
        let (_other, other_lost, other_map, _file) = mapped("b");
        assert!(map.iter().all(|&byte| byte == 7) && !lost.load(SeqCst));
        file.set_len(page as u64 + 1).expect("a file can be shortened");
        assert_eq!(map[page - 1], 7, "what the file still has is read from it");
        assert!(!lost.load(SeqCst));
        assert_eq!((map[2 * page], map[4 * page - 1]), (0, 0));
        assert!(lost.load(SeqCst));
        assert!(other_map.iter().all(|&byte| byte == 7) && !other_lost.load(SeqCst));
    }

    #[test]
    fn a_place_is_found_by_what_lies_in_it_and_free_again_afterwards() {
        let bytes = [0u8; 64];
        let lost = Arc::new(AtomicBool::new(false));
        let watched = Watched::new(&bytes, &lost);
        let place = watched.place.expect("the table has room");
        let start = bytes.as_ptr().addr();
        assert_eq!(place.find(start), Some(Arc::as_ptr(&lost).cast_mut()));
        assert!(place.find(start + 63).is_some());
        assert!(place.find(start + 64).is_none() && place.find(start - 1).is_none() && place.find(0).is_none());
        place.version.fetch_add(1, SeqCst);
        assert!(place.find(start).is_none(), "not while it changes");
        place.version.fetch_add(1, SeqCst);
        drop(watched);
        assert_eq!(Arc::strong_count(&lost), 1);
    }
}
