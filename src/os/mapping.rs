//! Another process's shared memory, mapped for reading.
//!
//! Whoever owns it may do with it what he likes, at any moment: change its bytes, and make it smaller. To read where there is no memory any more is
//! a SIGBUS, which would end this process. So a handler of that signal puts zeros in the place of a mapping of ours that has lost its memory, and
//! notes it; everything else it leaves to who was there before. Nothing milder helps: a look at the object's size before each frame comes too
//! early, seals cannot be put on an object that has a name, and a copy of each frame costs as much as all the rest of reading it.
//!
//! What is parsed is copied out first, each byte read once, so that it cannot change between a check and its use.

use std::{
    fs::File,
    io,
    mem::MaybeUninit,
    ops::Range,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::FileExt,
    },
    ptr,
};

use rustix::{
    fs::{self, FileType, Mode, OFlags},
    mm::{self, MapFlags, ProtFlags},
};

use crate::sync::Arc;
use crate::sync::OnceLock;

const DIRECTORY: &str = "/dev/shm";
const TMPFS: u64 = 0x0102_1994;
/// Mappings that this process can have at a time, for as many readers as there are.
const PLACES: usize = 1024;

#[derive(Debug, thiserror::Error)]
pub enum MapError {
    #[error("there is no shared memory {name:?} here: {source}")]
    Open { name: String, source: io::Error },
    #[error("what was to be shared memory is {0}")]
    Kind(&'static str),
    #[error("an area of {asked} bytes in shared memory of {there}")]
    TooSmall { asked: u64, there: u64 },
    #[error("cannot map shared memory: {0}")]
    System(#[from] io::Error),
}

/// The file of an area.
#[derive(Debug)]
pub struct Object(File);

impl Object {
    /// The named object.
    pub fn open(name: &str) -> Result<Self, MapError> {
        // Not `shm_open`: a pipe would keep it waiting, and so would somebody's lease on the file.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = fs::open(format!("{DIRECTORY}{name}"), flags, Mode::empty());
        let file = file.map_err(|errno| MapError::Open {
            name: name.to_owned(),
            source: errno.into(),
        })?;
        Self::checked(file, false)
    }

    /// An object that somebody else has opened.
    pub fn received(file: OwnedFd) -> Result<Self, MapError> {
        Self::checked(file, true)
    }

    fn checked(file: OwnedFd, is_strangers: bool) -> Result<Self, MapError> {
        let stat = fs::fstat(&file).map_err(io::Error::from)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(MapError::Kind("no file"));
        }
        // What lies on another file system may make its readers wait for ever: one that a process serves, or a network.
        if is_strangers {
            let kind = fs::fstatfs(&file).map_err(io::Error::from)?.f_type;
            if kind as u64 != TMPFS {
                return Err(MapError::Kind("no memory"));
            }
        }
        Ok(Self(file.into()))
    }

    /// Device and number: two objects that have the same are the same file.
    pub fn identity(&self) -> io::Result<(u64, u64)> {
        let stat = fs::fstat(&self.0)?;
        Ok((stat.st_dev, stat.st_ino))
    }

    /// Whether it is the file of that identity.
    pub fn is(&self, identity: (u64, u64)) -> bool {
        self.identity().is_ok_and(|own| own == identity)
    }

    /// Copies what lies at `offset` into `bytes`. Says how much that was: at the object's end there is no more.
    pub fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.0.read_at(rest, offset.saturating_add(filled as u64)) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    /// Its first `length` bytes, all of which are there.
    pub fn map(self, length: u64) -> Result<Arc<Mapping>, MapError> {
        let there =
            u64::try_from(fs::fstat(&self.0).map_err(io::Error::from)?.st_size).unwrap_or(0);
        if length > there {
            return Err(MapError::TooSmall {
                asked: length,
                there,
            });
        }
        let size =
            usize::try_from(length).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        guard::install()?;
        // SAFETY: a fresh mapping at an address of the kernel's choice overlaps nothing of ours.
        let base = unsafe {
            mm::mmap(
                ptr::null_mut(),
                size,
                ProtFlags::READ,
                MapFlags::SHARED,
                self.0.as_fd(),
                0,
            )
        }
        .map_err(io::Error::from)?;
        let Some(place) = guard::enter(base.addr(), size) else {
            // SAFETY: just made, and known to nobody.
            let _ = unsafe { mm::munmap(base, size) };
            return Err(io::Error::from(io::ErrorKind::OutOfMemory).into());
        };
        Ok(Arc::new(Mapping {
            base: base.cast(),
            length: size,
            place,
            object: self,
        }))
    }
}

#[derive(Debug)]
pub struct Mapping {
    base: *const u8,
    length: usize,
    place: usize,
    object: Object,
}

// SAFETY: the mapping belongs to this value and lives as long; nobody writes through it.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    pub fn object(&self) -> &Object {
        &self.object
    }

    pub fn length(&self) -> u64 {
        self.length as u64
    }

    /// Somebody read where the owner had taken the memory away, and got zeros.
    pub fn is_broken(&self) -> bool {
        guard::is_broken(self.place)
    }

    /// Copies words that lie at `offset` into `bytes`, each read once: they may change meanwhile. What is left of `bytes` behind the last whole word stays
    /// as it is. `None` when they are not all inside, do not begin at a multiple of 8, or have lost their memory.
    pub fn copy_out(&self, offset: u64, bytes: &mut [u8]) -> Option<()> {
        let start = usize::try_from(offset).ok()?;
        let end = start.checked_add(bytes.len())?;
        if end > self.length || !start.is_multiple_of(size_of::<u64>()) {
            return None;
        }
        let (words, _) = bytes.as_chunks_mut::<{ size_of::<u64>() }>();
        // SAFETY: inside the mapping, or at its end.
        let from = unsafe { self.base.add(start) }.cast::<u64>();
        for (at, word) in words.iter_mut().enumerate() {
            // SAFETY: all of them are inside the mapping, which begins at a page, and are aligned. Any bytes are a word; volatile, as another process may
            // write there.
            *word = unsafe { from.add(at).read_volatile() }.to_ne_bytes();
        }
        (!self.is_broken()).then_some(())
    }

    /// Some of its bytes, for somebody else to look at. `None` when they are not all inside.
    pub fn part(self: &Arc<Self>, offset: u64, size: u64) -> Option<Part> {
        let start = usize::try_from(offset).ok()?;
        let end = start.checked_add(usize::try_from(size).ok()?)?;
        (end <= self.length).then(|| Part {
            mapping: self.clone(),
            bytes: start..end,
        })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        guard::leave(self.place);
        // SAFETY: this value's own mapping, of that length; every `Part` of it is gone. The handler may have put zeros there, which go with it.
        let _ = unsafe { mm::munmap(self.base.cast_mut().cast(), self.length) };
    }
}

/// Bytes of a mapping. They may change while they are looked at, so nothing is to be concluded from them.
#[derive(Debug)]
pub struct Part {
    mapping: Arc<Mapping>,
    bytes: Range<usize>,
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: inside the mapping, which lives as long as `mapping`, and readable whatever its owner does. This crate only passes the address on.
        unsafe {
            std::slice::from_raw_parts(self.mapping.base.add(self.bytes.start), self.bytes.len())
        }
    }
}

/// The handler of SIGBUS.
mod guard {
    use super::*;
    use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    /// A mapping, for the handler to find.
    struct Place {
        taken: AtomicBool,
        /// Odd while the others change: who reads them finds the same even number before and after it, or they are not of one mapping.
        version: AtomicUsize,
        base: AtomicUsize,
        length: AtomicUsize,
        broken: AtomicBool,
    }

    static TABLE: [Place; PLACES] = [const {
        Place {
            taken: AtomicBool::new(false),
            version: AtomicUsize::new(0),
            base: AtomicUsize::new(0),
            length: AtomicUsize::new(0),
            broken: AtomicBool::new(false),
        }
    }; PLACES];

    /// Who was asked before us.
    static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

    /// Once for the process, before its first mapping.
    pub fn install() -> io::Result<()> {
        static INSTALLED: OnceLock<bool> = OnceLock::new();
        let installed = *INSTALLED.get_or_init(|| {
            // SAFETY: zero is a value of this C struct.
            let mut before: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
            // SAFETY: as above.
            let mut ours: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
            ours.sa_sigaction = handle as *const () as usize;
            ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
            // SAFETY: all pointers are to values of ours, of the types that the calls want. It is read first, so that the handler knows it from
            // its first moment on; who installs another in between is not asked.
            unsafe {
                libc::sigemptyset(&raw mut ours.sa_mask);
                if libc::sigaction(libc::SIGBUS, ptr::null(), &raw mut before) != 0 {
                    return false;
                }
                let _ = BEFORE.set(before);
                libc::sigaction(libc::SIGBUS, &raw const ours, ptr::null_mut()) == 0
            }
        });
        if installed {
            Ok(())
        } else {
            Err(io::Error::other("SIGBUS cannot be handled"))
        }
    }

    impl Place {
        /// Only by who has taken the place.
        fn set(&self, base: usize, length: usize) {
            self.version.fetch_add(1, Ordering::SeqCst);
            self.base.store(base, Ordering::SeqCst);
            self.length.store(length, Ordering::SeqCst);
            self.version.fetch_add(1, Ordering::SeqCst);
        }

        /// The mapping that is here, if it has that address. Waits for nobody: the one whose memory is read changes nothing meanwhile.
        fn find(&self, address: usize) -> Option<(usize, usize)> {
            let version = self.version.load(Ordering::SeqCst);
            let length = self.length.load(Ordering::SeqCst);
            let base = self.base.load(Ordering::SeqCst);
            let is_whole =
                version.is_multiple_of(2) && version == self.version.load(Ordering::SeqCst);
            let is_inside = (base..base.saturating_add(length)).contains(&address);
            (is_whole && is_inside).then_some((base, length))
        }
    }

    pub fn enter(base: usize, length: usize) -> Option<usize> {
        let number = TABLE
            .iter()
            .position(|place| !place.taken.swap(true, Ordering::AcqRel))?;
        let place = TABLE.get(number)?;
        place.broken.store(false, Ordering::Relaxed);
        place.set(base, length);
        Some(number)
    }

    pub fn leave(number: usize) {
        if let Some(place) = TABLE.get(number) {
            place.set(0, 0);
            place.taken.store(false, Ordering::Release);
        }
    }

    pub fn is_broken(number: usize) -> bool {
        TABLE
            .get(number)
            .is_some_and(|place| place.broken.load(Ordering::Acquire))
    }

    /// Only atomics and system calls.
    extern "C" fn handle(
        signal: libc::c_int,
        info: *mut libc::siginfo_t,
        context: *mut libc::c_void,
    ) {
        // SAFETY: the kernel gives a valid siginfo to a handler with SA_SIGINFO.
        let (code, address) = unsafe { ((*info).si_code, (*info).si_addr().addr()) };
        // A positive code is a fault; else somebody has sent the signal, and there is no address.
        if code > 0 {
            for place in &TABLE {
                let Some((base, length)) = place.find(address) else {
                    continue;
                };
                place.broken.store(true, Ordering::Release);
                // SAFETY: exactly the pages of a mapping of ours that lives, as somebody has just read it. They become zeros, which need no memory.
                let replaced = unsafe {
                    libc::mmap(
                        ptr::without_provenance_mut(base),
                        length,
                        libc::PROT_READ,
                        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
                        -1,
                        0,
                    )
                };
                if replaced != libc::MAP_FAILED {
                    return;
                }
            }
        }
        pass_on(signal, info, context);
    }

    fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        let before = BEFORE.get();
        let handler = before.map_or(libc::SIG_DFL, |before| before.sa_sigaction);
        // SAFETY: the kernel gives a valid siginfo to a handler with SA_SIGINFO.
        let is_fault = unsafe { (*info).si_code } > 0;
        // What was sent was ignored before us. A fault cannot be.
        if handler == libc::SIG_IGN && !is_fault {
            return;
        }
        if handler == libc::SIG_DFL || handler == libc::SIG_IGN {
            // SAFETY: the default takes no handler. The instruction that faulted runs again and ends the process; what was sent is sent again.
            unsafe {
                libc::signal(signal, libc::SIG_DFL);
                if !is_fault {
                    libc::raise(signal);
                }
            }
            return;
        }
        let with_info = before.is_some_and(|before| before.sa_flags & libc::SA_SIGINFO != 0);
        // SAFETY: what was installed as a handler of that kind is one.
        unsafe {
            if with_info {
                type Handler = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
                std::mem::transmute::<usize, Handler>(handler)(signal, info, context);
            } else {
                std::mem::transmute::<usize, extern "C" fn(libc::c_int)>(handler)(signal);
            }
        }
    }
}
