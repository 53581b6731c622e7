//! One connected client's socket. Neither call waits.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use rustix::{
    io::Errno,
    net::{self, RecvFlags, SendFlags, Shutdown},
};

#[derive(Debug)]
pub struct Peer {
    socket: OwnedFd,
}

/// What became of a message.
#[derive(Debug)]
pub enum Sent {
    Whole,
    /// The client does not read; try again when the socket is writable.
    Full,
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

    /// The process that connected; 0 when it cannot be seen from our process namespace.
    pub fn pid(&self) -> i32 {
        peer_pid(&self.socket)
    }

    /// Sends one whole message. On Linux a stream socket of this kind takes a message of less than a page whole or not at all; a reader could
    /// not cope with a part, so a part counts as gone.
    pub fn send(&self, message: &[u8]) -> Sent {
        loop {
            match net::send(
                &self.socket,
                message,
                SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
            ) {
                Ok(sent) if sent == message.len() => return Sent::Whole,
                Ok(_) => return Sent::Gone(io::ErrorKind::WriteZero.into()),
                Err(Errno::INTR) => (),
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

/// Not rustix's call: its pid cannot be 0, and the kernel's is for a peer of a foreign process namespace.
pub(super) fn peer_pid(socket: &OwnedFd) -> i32 {
    let mut credentials = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    let mut size = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `size` bytes into a struct of that size, and any bytes are a valid `ucred`.
    let answer = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &raw mut size,
        )
    };
    if answer == 0 { credentials.pid } else { 0 }
}
