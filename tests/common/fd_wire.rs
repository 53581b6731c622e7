//! Either end of the wire of file descriptors, written from its description and not with the code that is tested.

use std::{
    io::{IoSlice, IoSliceMut, Write},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

use rustix::{
    fs::MemfdFlags,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags,
    },
};

use super::frames::Generator;

/// What a sink has said.
#[derive(Debug)]
pub enum Said {
    Caps(String),
    Frame(Frame),
    End,
    Closed,
}

#[derive(Debug)]
pub struct Frame {
    pub id: u64,
    pub pts: u64,
    pub flags: u32,
    pub kind: u8,
    /// Size and offset.
    pub parts: Vec<(u64, u64)>,
    pub metas: Vec<u8>,
    pub fds: Vec<OwnedFd>,
}

impl Frame {
    /// The bytes of all memories, as they are now.
    pub fn bytes(&self) -> Vec<u8> {
        let parts = self.parts.iter().zip(&self.fds);
        parts
            .flat_map(|((size, offset), fd)| {
                let mut bytes = vec![0; *size as usize];
                let read = rustix::io::pread(fd, &mut bytes, *offset).unwrap();
                assert_eq!(read as u64, *size);
                bytes
            })
            .collect()
    }

    /// Device and number of the first file.
    pub fn file(&self) -> (u64, u64) {
        let stat = rustix::fs::fstat(&self.fds[0]).unwrap();
        (stat.st_dev, stat.st_ino)
    }
}

/// A reader that does only what it is told.
#[derive(Debug)]
pub struct FdClient(pub UnixStream);

impl FdClient {
    pub fn connect(path: &str) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        Self(stream)
    }

    pub fn hear(&mut self) -> Said {
        let mut fds = Vec::new();
        let Some(header) = self.take(8, &mut fds) else {
            return Said::Closed;
        };
        let kind = u32::from_ne_bytes(header[..4].try_into().unwrap());
        let size = u32::from_ne_bytes(header[4..].try_into().unwrap()) as usize;
        let Some(payload) = self.take(size, &mut fds) else {
            return Said::Closed;
        };
        let long = |at: usize| u64::from_ne_bytes(payload[at..at + 8].try_into().unwrap());
        match kind {
            0 => {
                let count = usize::from(payload[53]);
                assert_eq!(fds.len(), count);
                Said::Frame(Frame {
                    id: long(0),
                    pts: long(8),
                    flags: long(48) as u32,
                    kind: payload[52],
                    parts: (0..count)
                        .map(|part| (long(56 + 16 * part), long(64 + 16 * part)))
                        .collect(),
                    metas: payload[56 + 16 * count..].to_vec(),
                    fds,
                })
            }
            2 => {
                let (nul, text) = payload.split_last().unwrap();
                assert_eq!(*nul, 0);
                Said::Caps(String::from_utf8(text.to_vec()).unwrap())
            }
            3 => Said::End,
            kind => panic!("a command of type {kind}"),
        }
    }

    fn take(&mut self, size: usize, fds: &mut Vec<OwnedFd>) -> Option<Vec<u8>> {
        let mut bytes = vec![0; size];
        let mut filled = 0;
        while filled < size {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut into = [IoSliceMut::new(&mut bytes[filled..])];
            let flags = RecvFlags::CMSG_CLOEXEC;
            let received = rustix::net::recvmsg(&self.0, &mut into, &mut control, flags);
            match received.map(|received| received.bytes) {
                Ok(0) | Err(rustix::io::Errno::CONNRESET) => return None,
                Ok(count) => filled += count,
                Err(error) => panic!("nothing is said: {error}"),
            }
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(received) = message {
                    fds.extend(received);
                }
            }
        }
        Some(bytes)
    }

    /// The next frame; caps are passed over.
    pub fn frame(&mut self) -> Frame {
        loop {
            match self.hear() {
                Said::Frame(frame) => return frame,
                Said::Caps(_) => (),
                other => panic!("{other:?} where a frame was expected"),
            }
        }
    }

    pub fn release(&mut self, id: u64) {
        self.0.write_all(&command(1, &id.to_ne_bytes())).unwrap();
    }

    /// Nothing is on its way.
    pub fn hears_nothing(&self) -> bool {
        self.0.set_nonblocking(true).unwrap();
        let nothing = rustix::net::recv(&self.0, &mut [0u8; 1], RecvFlags::PEEK).is_err();
        self.0.set_nonblocking(false).unwrap();
        nothing
    }
}

pub fn command(kind: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_ne_bytes().to_vec();
    bytes.extend_from_slice(&(payload.len() as u32).to_ne_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A frame's command, with these memories and metas.
pub fn frame_command(id: u64, kind: u8, parts: &[(u64, u64)], metas: (u16, &[u8])) -> Vec<u8> {
    let mut payload = id.to_ne_bytes().to_vec();
    payload.extend_from_slice(&[0xff; 40]);
    payload.extend_from_slice(&0u32.to_ne_bytes());
    payload.push(kind);
    payload.push(parts.len() as u8);
    payload.extend_from_slice(&metas.0.to_ne_bytes());
    for (size, offset) in parts {
        payload.extend_from_slice(&size.to_ne_bytes());
        payload.extend_from_slice(&offset.to_ne_bytes());
    }
    payload.extend_from_slice(metas.1);
    command(0, &payload)
}

pub fn caps_command(caps: &str) -> Vec<u8> {
    let mut text = caps.as_bytes().to_vec();
    text.push(0);
    command(2, &text)
}

pub fn send(stream: &UnixStream, bytes: &[u8], fds: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(fds)));
    }
    // The reader may have gone already, having heard enough.
    let parts = [IoSlice::new(bytes)];
    let _ = rustix::net::sendmsg(stream.as_fd(), &parts, &mut control, SendFlags::NOSIGNAL);
}

/// A file in memory that has a frame of the generator's in it, and whose size can be sealed.
pub fn frame_file(size: usize, counter: u64) -> OwnedFd {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = rustix::fs::memfd_create("test", flags).unwrap();
    rustix::io::write(&fd, &Generator::new(size).frame(counter)).unwrap();
    fd
}
