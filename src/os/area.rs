//! Shared memory that other processes map by name.
//!
//! The object is sized, given its memory and its mode before it has a name, so nobody ever sees it unfinished, and a /dev/shm that is too small
//! is an error here and not a SIGBUS in the middle of a frame.

use std::{
    ffi::c_void,
    fmt,
    mem::ManuallyDrop,
    ops::{Deref, DerefMut, Range},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
    ptr::NonNull,
};

use rustix::{
    fs::{self, AtFlags, CWD, FallocateFlags, FlockOperation, Mode, OFlags},
    io::Errno,
    mm::{self, Advice, MapFlags, ProtFlags},
};

use super::reaper;
use crate::sync::Arc;
use crate::sync::LazyLock;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering};

const DIRECTORY: &str = "/dev/shm";
/// Of every area's name; the owner, the process and a number follow.
const PREFIX: &str = "libcamerars.";
const PAGE: usize = 4096;
/// Bytes that are given memory in one call. A signal undoes what a call has done so far, and one that comes often would undo a large one for ever.
const PART: u64 = 4 << 20;

#[derive(Debug, thiserror::Error)]
pub enum AreaError {
    #[error(
        "cannot reserve {asked} bytes of shared memory: {DIRECTORY} has {free} of {total} bytes free. Make it larger (docker run --shm-size=..., \
         or mount -o remount,size=... {DIRECTORY}), or lower client-window, max-clients or the frames' size"
    )]
    NoSpace { asked: u64, free: u64, total: u64 },
    #[error("cannot {step} in {DIRECTORY}: {source}. Check that {DIRECTORY} is a writable tmpfs")]
    System {
        step: &'static str,
        source: std::io::Error,
    },
}

fn failed(step: &'static str) -> impl Fn(Errno) -> AreaError {
    move |errno| AreaError::System {
        step,
        source: errno.into(),
    }
}

/// A shared memory object and our mapping of it.
struct Memory {
    fd: OwnedFd,
    base: NonNull<u8>,
    length: usize,
}

// SAFETY: the mapping belongs to this value and lives as long; it is written through `Lent` only.
unsafe impl Send for Memory {}
// SAFETY: as above. What a reference offers does not touch the contents beyond reads that fault pages in; `lend` gives no byte out twice.
unsafe impl Sync for Memory {}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: this value's own mapping, of that length; nobody has a reference into it any more.
        let _ = unsafe { mm::munmap(self.base.as_ptr().cast(), self.length) };
    }
}

/// A named shared memory object. The name goes with the last reference, and the memory soon after it, on a thread of its own: for a gigabyte the
/// system takes a tenth of a second. Readers that have mapped it keep their mapping.
pub struct Area {
    /// Until it is dropped.
    memory: ManuallyDrop<Memory>,
    /// For those who are to read it without a name.
    readable: OwnedFd,
    name: String,
    /// The name is taken, and not removed yet.
    linked: AtomicBool,
    /// Bytes that somebody has to write into, each once.
    lent: Mutex<Vec<Range<usize>>>,
}

impl fmt::Debug for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Area")
            .field("name", &self.name)
            .field("length", &self.memory.length)
            .finish_non_exhaustive()
    }
}

impl Area {
    /// Makes an object of `length` bytes of which the first `reserved` have memory, readable by those that `mode` names.
    pub fn create(length: u64, reserved: u64, mode: u32) -> Result<Arc<Self>, AreaError> {
        let no_space = |_| no_space(length);
        let size = usize::try_from(length).map_err(no_space)?;
        let fd = fs::open(
            DIRECTORY,
            OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC,
            Mode::RUSR | Mode::WUSR,
        )
        .map_err(failed("create shared memory"))?;
        // Held as long as this process has the object open: who gets it later knows that the owner is dead.
        fs::flock(&fd, FlockOperation::NonBlockingLockExclusive)
            .map_err(failed("lock shared memory"))?;
        fs::ftruncate(&fd, length).map_err(failed("size shared memory"))?;
        // SAFETY: a fresh mapping at an address of the kernel's choice overlaps nothing of ours.
        let base = unsafe {
            mm::mmap(
                std::ptr::null_mut(),
                size,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                &fd,
                0,
            )
        }
        .map_err(failed("map shared memory"))?;
        let memory = Memory {
            fd,
            base: NonNull::new(base.cast()).ok_or(failed("map shared memory")(Errno::INVAL))?,
            length: size,
        };
        // Before its mode may keep us out. A descriptor of its own: it can be mapped for reading only, and shares no lock.
        let readable = fs::open(
            path_of(&memory.fd),
            OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(failed("open shared memory for reading"))?;
        let mut area = Area {
            memory: ManuallyDrop::new(memory),
            readable,
            name: String::new(),
            linked: AtomicBool::new(false),
            lent: Mutex::new(Vec::new()),
        };
        area.reserve(0..reserved)?;
        fs::fchmod(&area.memory.fd, Mode::from_raw_mode(mode))
            .map_err(failed("set the mode of shared memory"))?;
        area.name = link(&area.memory.fd)?;
        area.linked = AtomicBool::new(true);
        Ok(Arc::new(area))
    }

    /// The bytes at `offset`, to write into. `None` when they are not all inside the area, or somebody has some of them already. Write only what was
    /// reserved.
    pub fn lend(self: &Arc<Self>, offset: u64, size: u64) -> Option<Lent> {
        let start = usize::try_from(offset).ok()?;
        let end = start.checked_add(usize::try_from(size).ok()?)?;
        if end > self.memory.length {
            return None;
        }
        let mut lent = self.lent.lock();
        if lent
            .iter()
            .any(|other| start < other.end && other.start < end)
        {
            return None;
        }
        lent.push(start..end);
        drop(lent);
        Some(Lent {
            area: self.clone(),
            bytes: start..end,
        })
    }

    /// Where a byte lies in the area, if it does.
    pub fn offset_of(&self, byte: *const u8) -> Option<u64> {
        let offset = byte.addr().checked_sub(self.memory.base.as_ptr().addr())?;
        (offset < self.memory.length).then_some(offset as u64)
    }

    /// The name for `shm_open`, with its slash.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Itself.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.memory.fd.as_fd()
    }

    /// What reads it and cannot write it.
    pub fn readable(&self) -> BorrowedFd<'_> {
        self.readable.as_fd()
    }

    /// Removes the name, before the memory goes with the last reference.
    pub fn unlink(&self) {
        if self.linked.swap(false, Ordering::Relaxed) {
            // It may have been removed by hand, and there is nobody to tell.
            let _ = fs::unlink(format!("{DIRECTORY}{}", self.name));
        }
    }

    /// Gives these bytes memory, now and in our page tables, so that writing them neither fails nor faults. What was reserved before stays.
    pub fn reserve(&self, bytes: Range<u64>) -> Result<(), AreaError> {
        let size = bytes.end.saturating_sub(bytes.start);
        if size == 0 {
            return Ok(());
        }
        // Or the parts would take all the memory that this machine has before they fail.
        Self::check_space(size)?;
        let mut start = bytes.start;
        while start < bytes.end {
            let part = PART.min(bytes.end - start);
            match fs::fallocate(&self.memory.fd, FallocateFlags::empty(), start, part) {
                Ok(()) => start += part,
                Err(Errno::INTR) => (),
                Err(Errno::NOSPC) => return Err(no_space(size)),
                Err(errno) => return Err(failed("reserve shared memory")(errno)),
            }
        }
        self.prefault(bytes);
        Ok(())
    }

    /// Whether there is memory for so many bytes now.
    pub fn check_space(size: u64) -> Result<(), AreaError> {
        match free_and_total() {
            Some((free, _)) if size > free => Err(no_space(size)),
            _ => Ok(()),
        }
    }

    /// Gives the memory of these bytes back to the system. Nobody may write there again.
    pub fn give_back(&self, bytes: Range<u64>) {
        let size = bytes.end.saturating_sub(bytes.start);
        // It only saves memory; where it cannot be done the memory goes with the area.
        let _ = fs::fallocate(
            &self.memory.fd,
            FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
            bytes.start,
            size,
        );
    }

    /// A first write to a page costs microseconds; not in the stream, please.
    fn prefault(&self, bytes: Range<u64>) {
        let end = usize::try_from(bytes.end)
            .unwrap_or(usize::MAX)
            .min(self.memory.length);
        let start = usize::try_from(bytes.start).unwrap_or(usize::MAX).min(end) / PAGE * PAGE;
        // SAFETY: inside the mapping, and MADV_POPULATE_WRITE changes no byte.
        let populated = unsafe {
            mm::madvise(
                self.memory.base.as_ptr().add(start).cast::<c_void>(),
                end - start,
                Advice::LinuxPopulateWrite,
            )
        };
        if populated.is_ok() {
            return;
        }
        // Before Linux 5.14. A read maps a page of shared memory as well as a write does.
        for page in (start..end).step_by(PAGE) {
            // SAFETY: inside the mapping and, having been allocated, backed by memory; volatile, as other processes' business is none of ours.
            unsafe { self.memory.base.as_ptr().add(page).read_volatile() };
        }
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        self.unlink();
        // SAFETY: taken this once, and `self` is not used after it.
        let memory = unsafe { ManuallyDrop::take(&mut self.memory) };
        reaper::later(move || drop(memory));
    }
}

/// Bytes of an area that nobody else in this process writes. Readers in other processes map them read-only.
#[derive(Debug)]
pub struct Lent {
    area: Arc<Area>,
    bytes: Range<usize>,
}

impl Deref for Lent {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: inside the mapping, which lives as long as `area`; `lend` has given these bytes to nobody else.
        unsafe {
            std::slice::from_raw_parts(
                self.area.memory.base.as_ptr().add(self.bytes.start),
                self.bytes.len(),
            )
        }
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `self` is borrowed mutably.
        unsafe {
            std::slice::from_raw_parts_mut(
                self.area.memory.base.as_ptr().add(self.bytes.start),
                self.bytes.len(),
            )
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut lent = self.area.lent.lock();
        if let Some(index) = lent.iter().position(|bytes| *bytes == self.bytes) {
            lent.swap_remove(index);
        }
    }
}

/// Bytes of the file system. `None` when it has no bound.
fn free_and_total() -> Option<(u64, u64)> {
    let stat = fs::statvfs(DIRECTORY).ok()?;
    (stat.f_blocks > 0).then(|| (stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize))
}

fn no_space(asked: u64) -> AreaError {
    let (free, total) = free_and_total().unwrap_or_default();
    AreaError::NoSpace { asked, free, total }
}

/// Nobody is to open these any more, even if somebody in this process still has them.
pub fn remove(areas: impl IntoIterator<Item = Arc<Area>>) {
    for area in areas {
        area.unlink();
    }
}

/// Removes the areas of this user's processes that were killed. Readers that have mapped one keep it.
pub fn remove_abandoned() {
    let ours = format!("{PREFIX}{}.", rustix::process::geteuid().as_raw());
    let Ok(entries) = std::fs::read_dir(DIRECTORY) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().and_then(|name| name.to_str());
        if !name.is_some_and(|name| name.starts_with(&ours)) {
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let Ok(fd) = fs::open(&path, flags, Mode::empty()) else {
            continue;
        };
        if fs::flock(&fd, FlockOperation::NonBlockingLockExclusive).is_ok() && is_at(&fd, &path) {
            // Somebody else may have been faster.
            let _ = fs::unlink(&path);
        }
    }
}

/// Somebody else may have removed that name, and a living process of the same number may have taken it.
fn is_at(fd: &OwnedFd, path: &Path) -> bool {
    let there = fs::lstat(path).map(|there| (there.st_dev, there.st_ino));
    there.is_ok() && there == fs::fstat(fd).map(|here| (here.st_dev, here.st_ino))
}

/// The path that an open file has whatever became of its name.
fn path_of(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Gives the object a name that no other has.
fn link(fd: &OwnedFd) -> Result<String, AreaError> {
    // Lazy because loom's atomics cannot be made at compile time.
    static NEXT: LazyLock<AtomicU32> = LazyLock::new(|| AtomicU32::new(0));

    let owner = rustix::process::geteuid().as_raw();
    let process = std::process::id();
    // AT_EMPTY_PATH would need a capability; this way round needs only /proc.
    let unnamed = path_of(fd);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("/{PREFIX}{owner}.{process}.{number}");
        let path = format!("{DIRECTORY}{name}");
        match fs::linkat(CWD, &unnamed, CWD, &path, AtFlags::SYMLINK_FOLLOW) {
            Ok(()) => return Ok(name),
            // Another process namespace has a process of our number, or a dead one had.
            Err(Errno::EXIST) => (),
            Err(errno) => return Err(failed("name shared memory")(errno)),
        }
    }
}
