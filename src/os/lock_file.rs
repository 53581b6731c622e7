//! A lock file: held by a living process or by nobody, whatever was killed.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, OFlags};

/// Held until dropped; the file goes with it. After a SIGKILL the file stays, unlocked, and the next holder takes it.
#[derive(Debug)]
pub struct LockFile {
    file: File,
    path: PathBuf,
}

#[derive(Debug)]
pub enum Locked {
    Ours(LockFile),
    /// By this process, when it has said so.
    Theirs(Option<i32>),
}

impl LockFile {
    /// Takes the lock, or says who has it. Does not wait.
    pub fn take(path: PathBuf) -> io::Result<Locked> {
        loop {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o644)
                .custom_flags(OFlags::NOFOLLOW.bits() as i32)
                .open(&path)?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => (),
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let mut owner = String::new();
                    // Only for the message; it may just be writing it.
                    let _ = file.take(16).read_to_string(&mut owner);
                    return Ok(Locked::Theirs(owner.trim().parse().ok()));
                }
                Err(errno) => return Err(errno.into()),
            }
            // The previous holder may have removed the file after we opened it; then the lock is on nothing.
            if !is_at(&file, &path)? {
                continue;
            }
            file.set_len(0)?;
            write!(file, "{}", std::process::id())?;
            return Ok(Locked::Ours(Self { file, path }));
        }
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // While still locked, so that nobody's new file goes.
        if is_at(&self.file, &self.path).unwrap_or(false) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
