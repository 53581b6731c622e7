//! The socket that clients connect to.
//!
//! A path is taken in three steps, so that a socket left by a killed process is replaced and a living one never is: lock `<path>.lock`; if
//! something is at `path`, see whether anybody answers there; remove it only if it is a socket and nobody does. There is no other path to fall
//! back to: clients would not know it.

use std::{
    fs, io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::Mode,
    io::Errno,
    net::{self, AddressFamily, RecvFlags, Shutdown, SocketAddrUnix, SocketFlags, SocketType},
};

use super::{
    lock_file::{LockFile, Locked},
    peer::{Peer, credentials},
};
use crate::shm::wire::MESSAGE_SIZE;
use crate::shm::wire::NAME_SIZE_AT;

/// Bytes of a path that fit a socket address, without the NUL.
const MAX_PATH: usize = 107;
const BACKLOG: i32 = 64;
/// How long a living stranger gets to say its greeting: the stock sink fails if a client leaves before it.
const GREETING: Duration = Duration::from_millis(200);

#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error(
        "no socket path. Set socket-path to where the socket is to be made, such as /tmp/camera"
    )]
    NoPath,
    #[error(
        "socket path of {length} bytes is too long: a socket address has room for {MAX_PATH}. Choose a shorter socket-path"
    )]
    TooLong { length: usize },
    #[error(
        "{path:?} cannot be a socket because its directory does not exist. Create the directory or choose another socket-path"
    )]
    NoDirectory { path: PathBuf },
    #[error(
        "{path:?} is {kind}, not a socket, and is left alone. Remove it or choose another socket-path"
    )]
    NotASocket { path: PathBuf, kind: &'static str },
    #[error("{path:?} is in use by {owner}. Stop it or choose another socket-path")]
    InUse { path: PathBuf, owner: Owner },
    #[error(
        "cannot {step} {path:?}: {source}. Choose a socket-path in a directory that you may write to, or remove what is there"
    )]
    System {
        step: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

/// The process that listens at a path already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner(Option<i32>);

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(pid) if pid > 0 => write!(f, "process {pid}"),
            _ => write!(f, "another process"),
        }
    }
}

/// A listening socket; its path and lock file go with it.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    path: PathBuf,
    /// Device and inode of what we bound: somebody may have put something else at the path.
    bound: (u64, u64),
    _lock: LockFile,
}

impl Listener {
    /// Listens at `path`; those that `mode` gives the right to write may connect, whatever the umask. Does not wait for anybody who behaves.
    pub fn bind(path: &Path, mode: u32) -> Result<Self, ListenError> {
        let failed = |step: &'static str| {
            move |error: io::Error| ListenError::System {
                step,
                path: path.to_owned(),
                source: error,
            }
        };
        let length = path.as_os_str().len();
        match length {
            0 => return Err(ListenError::NoPath),
            1..=MAX_PATH => (),
            _ => return Err(ListenError::TooLong { length }),
        }
        what_is_there(path)?;
        let mut lock_path = path.as_os_str().to_owned();
        lock_path.push(".lock");
        let lock = match LockFile::take(lock_path.into()) {
            Ok(Locked::Ours(lock)) => lock,
            Ok(Locked::Theirs(pid)) => {
                return Err(ListenError::InUse {
                    path: path.to_owned(),
                    owner: Owner(pid),
                });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ListenError::NoDirectory {
                    path: path.to_owned(),
                });
            }
            Err(error) => return Err(failed("create the lock file of")(error)),
        };
        let address = SocketAddrUnix::new(path).map_err(|e| failed("use")(e.into()))?;
        if what_is_there(path)? {
            if let Some(owner) = who_answers(&address).map_err(failed("connect to"))? {
                return Err(ListenError::InUse {
                    path: path.to_owned(),
                    owner,
                });
            }
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed("remove the stale socket")(error));
                }
                _ => (),
            }
        }
        let socket = stream_socket().map_err(failed("create a socket for"))?;
        // The socket's file never has more rights than this: bind gives it these less the umask. Then what the umask took is given back.
        rustix::fs::fchmod(&socket, Mode::from_raw_mode(mode))
            .map_err(|e| failed("set the mode of")(e.into()))?;
        net::bind(&socket, &address).map_err(|errno| match errno {
            Errno::ADDRINUSE => ListenError::InUse {
                path: path.to_owned(),
                owner: Owner(None),
            },
            errno => failed("bind a socket to")(errno.into()),
        })?;
        let metadata = fs::symlink_metadata(path).map_err(failed("look at"))?;
        let listener = Self {
            socket,
            path: path.to_owned(),
            bound: (metadata.dev(), metadata.ino()),
            _lock: lock,
        };
        if metadata.mode() & 0o7777 != mode {
            fs::set_permissions(path, fs::Permissions::from_mode(mode))
                .map_err(failed("set the mode of"))?;
        }
        net::listen(&listener.socket, BACKLOG).map_err(|e| failed("listen at")(e.into()))?;
        Ok(listener)
    }

    /// The next client that waits to be accepted, if any.
    pub fn accept(&self) -> io::Result<Option<Peer>> {
        loop {
            match net::accept_with(&self.socket, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok(fd) => return Ok(Some(Peer::new(fd))),
                Err(Errno::WOULDBLOCK) => return Ok(None),
                // It left again before we came to it.
                Err(Errno::INTR | Errno::CONNABORTED) => (),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // A child of ours that did not exec keeps it open, and who waits there to be accepted is to know.
        let _ = net::shutdown(&self.socket, Shutdown::Both);
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|there| (there.dev(), there.ino()) == self.bound);
        if ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether there is a socket at the path. Anything else is an error.
fn what_is_there(path: &Path) -> Result<bool, ListenError> {
    let kind = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => return Ok(true),
        Ok(metadata) if metadata.is_dir() => "a directory",
        Ok(metadata) if metadata.is_symlink() => "a symbolic link",
        Ok(metadata) if metadata.is_file() => "a regular file",
        Ok(_) => "a device or pipe",
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(source) => {
            return Err(ListenError::System {
                step: "look at",
                path: path.to_owned(),
                source,
            });
        }
    };
    Err(ListenError::NotASocket {
        path: path.to_owned(),
        kind,
    })
}

fn stream_socket() -> io::Result<OwnedFd> {
    Ok(net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
        None,
    )?)
}

/// Who listens at the address; `None` when nobody does and a socket there is stale.
fn who_answers(address: &SocketAddrUnix) -> io::Result<Option<Owner>> {
    let probe = stream_socket()?;
    match net::connect(&probe, address) {
        Ok(()) => {
            hear_greeting(&probe);
            Ok(Some(Owner(Some(credentials(&probe).pid))))
        }
        // A full backlog is somebody's.
        Err(Errno::WOULDBLOCK) => Ok(Some(Owner(None))),
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Takes a whole greeting (a fixed part, which says how long a name follows), or the time for it.
fn hear_greeting(probe: &OwnedFd) {
    let deadline = Instant::now() + GREETING;
    let mut heard = Vec::new();
    loop {
        let name_size = heard
            .get(NAME_SIZE_AT..NAME_SIZE_AT + 4)
            .and_then(|size: &[u8]| size.try_into().ok())
            .map(u32::from_ne_bytes);
        if name_size.is_some_and(|size| heard.len() >= MESSAGE_SIZE + size as usize) {
            return;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        // A greeting is short; who says much more is no sink.
        if left.is_zero() || heard.len() > 4096 {
            return;
        }
        let timeout = left.try_into().ok();
        match poll(&mut [PollFd::new(probe, PollFlags::IN)], timeout.as_ref()) {
            Ok(1..) => (),
            _ => return,
        }
        let mut buffer = [0; 512];
        match net::recv(probe, &mut buffer, RecvFlags::DONTWAIT) {
            Ok((1.., bytes)) => heard.extend(buffer.iter().take(bytes)),
            _ => return,
        }
    }
}
