//! The connection to a server, from its client's side. Nothing here waits.

use std::{
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use super::peer::MOST_DESCRIPTORS;
use crate::shm::unsent::Sent;
use rustix::{
    io::Errno,
    net::{
        self, AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags,
        Shutdown, SocketAddrUnix, SocketFlags, SocketType,
    },
};

/// What the server has said.
#[derive(Debug)]
pub enum Received {
    /// So many bytes, and the file descriptors that came with them.
    Bytes(usize, Vec<OwnedFd>),
    Nothing,
    Gone,
}

#[derive(Debug)]
pub struct Server(OwnedFd);

impl Server {
    /// Connects to the server that listens at that path. A server whose queue of clients is full is an error like one that is not there.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let address = SocketAddrUnix::new(path)?;
        let socket = net::socket_with(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
            None,
        )?;
        net::connect(&socket, &address)?;
        Ok(Self(socket))
    }

    pub fn recv(&self, buffer: &mut [u8]) -> Received {
        loop {
            let mut space =
                [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
            let received =
                net::recvmsg(&self.0, &mut [IoSliceMut::new(buffer)], &mut control, flags);
            return match received {
                Ok(message) if message.bytes == 0 => Received::Gone,
                Ok(message) => {
                    let mut fds = Vec::new();
                    for message in control.drain() {
                        if let RecvAncillaryMessage::ScmRights(received) = message {
                            fds.extend(received);
                        }
                    }
                    Received::Bytes(message.bytes, fds)
                }
                Err(Errno::INTR) => continue,
                Err(Errno::WOULDBLOCK) => Received::Nothing,
                Err(_) => Received::Gone,
            };
        }
    }

    /// Sends a short message, whole or not at all.
    pub fn send(&self, message: &[u8]) -> Sent {
        loop {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            return match net::send(&self.0, message, flags) {
                Ok(sent) if sent == message.len() => Sent::Whole,
                Err(Errno::INTR) => continue,
                Err(Errno::WOULDBLOCK) => Sent::Full,
                Ok(_) | Err(_) => Sent::Gone,
            };
        }
    }

    /// Ends the connection for whoever else has it: a child of ours that did not exec keeps it open.
    pub fn shut_down(&self) {
        let _ = net::shutdown(&self.0, Shutdown::Both);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shut_down();
    }
}

impl AsFd for Server {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
