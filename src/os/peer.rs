//! One connected client's socket. Neither call waits.

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use rustix::{
    io::Errno,
    net::{self, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown},
};

/// File descriptors that go with one message: GStreamer's buffers have no more memories.
pub const MOST_DESCRIPTORS: usize = 16;

#[derive(Debug)]
pub struct Peer {
    socket: OwnedFd,
}

/// What became of a message.
#[derive(Debug)]
pub enum Sent {
    Whole,
    /// So many bytes of it, and the file descriptors. On Linux a stream socket of this kind takes a message of less than a page whole or not at all.
    Part(usize),
    /// The client does not read; try again when the socket is writable.
    Full,
    /// More descriptors are under way than this user may have, because readers do not take them from their sockets.
    TooManyDescriptors,
    Gone(io::Error),
}

#[derive(Debug)]
pub enum Received {
    Bytes(usize),
    Nothing,
    Gone,
}

impl Peer {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self { socket }
    }

    pub fn fd(&self) -> i32 {
        self.socket.as_raw_fd()
    }

    /// Ends the connection for whoever else has it: a child of ours that did not exec keeps it open.
    pub fn shut_down(&self) {
        // It may be gone already.
        let _ = net::shutdown(&self.socket, Shutdown::Both);
    }

    /// Who connected.
    pub fn credentials(&self) -> Credentials {
        credentials(&self.socket)
    }

    /// The process that connected, to be watched: it is readable when that has ended. `None` before Linux 6.5, or when it has ended already.
    pub fn process(&self) -> Option<OwnedFd> {
        let fd: i32 = option(&self.socket, libc::SO_PEERPIDFD)?;
        // SAFETY: the kernel has made this file descriptor, close-on-exec, for us.
        (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// Nothing more will be said. What the client says is still heard.
    pub fn finish(&self) {
        let _ = net::shutdown(&self.socket, Shutdown::Write);
    }

    /// The client has read all that was sent.
    pub fn has_read_all(&self) -> bool {
        let mut unread: libc::c_int = 0;
        // SAFETY: the kernel writes one int.
        let answer =
            unsafe { libc::ioctl(self.socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut unread) };
        answer != 0 || unread == 0
    }

    /// Sends a message, and file descriptors with its first byte, no more than [`MOST_DESCRIPTORS`]. Readers that do not ask for those never have
    /// them.
    pub fn send(&self, message: &[u8], fds: &[BorrowedFd<'_>]) -> Sent {
        loop {
            let mut space =
                [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
                return Sent::Gone(io::ErrorKind::InvalidInput.into());
            }
            match net::sendmsg(
                &self.socket,
                &[IoSlice::new(message)],
                &mut control,
                SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
            ) {
                Ok(sent) if sent == message.len() => return Sent::Whole,
                Ok(sent) => return Sent::Part(sent),
                Err(Errno::INTR) => (),
                Err(Errno::TOOMANYREFS) => return Sent::TooManyDescriptors,
                Err(Errno::WOULDBLOCK) => return Sent::Full,
                Err(errno) => return Sent::Gone(errno.into()),
            }
        }
    }

    pub fn recv(&self, buffer: &mut [u8]) -> Received {
        loop {
            match net::recv(&self.socket, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Received::Gone,
                Ok((bytes, _)) => return Received::Bytes(bytes),
                Err(Errno::INTR) => (),
                Err(Errno::WOULDBLOCK) => return Received::Nothing,
                Err(_) => return Received::Gone,
            }
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.shut_down();
    }
}

impl AsFd for Peer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A process as the kernel knew it when it connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credentials {
    /// 0 when it cannot be seen from our process namespace.
    pub pid: i32,
    pub uid: u32,
    pub gid: u32,
}

/// Not rustix's call: its pid cannot be 0, and the kernel's is for a peer of a foreign process namespace.
pub(super) fn credentials(socket: &OwnedFd) -> Credentials {
    let nobody = libc::ucred {
        pid: 0,
        uid: u32::MAX,
        gid: u32::MAX,
    };
    let found: libc::ucred = option(socket, libc::SO_PEERCRED).unwrap_or(nobody);
    Credentials {
        pid: found.pid,
        uid: found.uid,
        gid: found.gid,
    }
}

/// A socket option that is a plain C value of which any bytes are one: an int, or a struct of ints.
fn option<T: Copy>(socket: &OwnedFd, name: libc::c_int) -> Option<T> {
    let mut value = MaybeUninit::<T>::zeroed();
    let mut size = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `size` bytes into a value of that size.
    let answer = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            name,
            value.as_mut_ptr().cast(),
            &raw mut size,
        )
    };
    // SAFETY: it began as zeroes, and any bytes are a `T`.
    (answer == 0).then(|| unsafe { value.assume_init() })
}

/// The name of a process's program; empty when it cannot be seen.
pub fn program_of(pid: i32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm"))
        .map(|name| name.trim_end().to_owned())
        .unwrap_or_default()
}
