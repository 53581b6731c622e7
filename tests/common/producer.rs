//! Producers that say whatever a test wants, and producers in processes of their own.

use std::{
    fs::File,
    io::{IoSlice, Read, Write},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::{
            fs::FileExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::PathBuf,
    time::Duration,
};

use gstlibcamerars::shm::{
    header::{Header, StreamState},
    note::{Note, Planes, Times},
    wire::Message,
};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

pub const STRIDE: u64 = 65536;
pub const LENGTH: u64 = 4 * STRIDE;
/// Where the first frame lies.
pub const FIRST: u64 = 4096;

/// A server at a path of its own with a shared memory object, which knows the wire and keeps no rule by itself.
pub struct FakeProducer {
    pub path: String,
    listener: UnixListener,
    pub client: Option<UnixStream>,
    pub object: File,
    pub name: String,
    place: PathBuf,
}

impl FakeProducer {
    pub fn new(name: &str) -> Self {
        let path = super::rig::socket(name);
        let listener = UnixListener::bind(&path).unwrap();
        let name = format!("/fake-{name}.{}", std::process::id());
        let place = PathBuf::from(format!("/dev/shm{name}"));
        let object = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&place)
            .unwrap();
        object.set_len(LENGTH).unwrap();
        Self {
            path,
            listener,
            client: None,
            object,
            name,
            place,
        }
    }

    pub fn accept(&mut self) {
        let (client, _) = self.listener.accept().unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        self.client = Some(client);
    }

    pub fn write(&self, at: u64, bytes: &[u8]) {
        self.object.write_all_at(bytes, at).unwrap();
    }

    /// What `shmsink-rs` writes into a new area.
    pub fn write_header(&self, state: StreamState) {
        let header = Header {
            generation: 1,
            stride: STRIDE,
            length: LENGTH,
            state,
        };
        self.write(0, &header.encode());
    }

    /// The note of a frame of that slot of area 1.
    pub fn write_note(&self, slot: u64, note: &Note<'_>) {
        let mut bytes = vec![0; 4032];
        note.encode(&mut bytes);
        self.write(slot * STRIDE + 64, &bytes);
    }

    pub fn send(&mut self, bytes: &[u8], fd: Option<BorrowedFd<'_>>) {
        let client = self.client.as_ref().unwrap();
        let fds: Vec<_> = fd.into_iter().collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        }
        // The reader may have gone already, having heard enough.
        let _ = rustix::net::sendmsg(
            client,
            &[IoSlice::new(bytes)],
            &mut control,
            SendFlags::NOSIGNAL,
        );
    }

    pub fn say(&mut self, message: Message<'_>) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        self.send(&bytes, None);
    }

    /// Announces the object as area 1, by name.
    pub fn announce(&mut self) {
        let name = self.name.clone();
        self.say(Message::NewArea {
            generation: 1,
            length: LENGTH,
            name: &name,
        });
    }

    /// The same with that file descriptor, and a name that nobody has.
    pub fn announce_with(&mut self, fd: impl AsFd) {
        let mut bytes = Vec::new();
        let message = Message::NewArea {
            generation: 1,
            length: LENGTH,
            name: "/nobody has this",
        };
        message.encode(&mut bytes);
        self.send(&bytes, Some(fd.as_fd()));
    }

    pub fn frame(&mut self, offset: u64, size: u64) {
        self.say(Message::NewBuffer {
            generation: 1,
            offset,
            size,
        });
    }

    /// The offset that is acked next.
    pub fn ack(&mut self) -> u64 {
        let mut ack = [0; 24];
        self.client.as_mut().unwrap().read_exact(&mut ack).unwrap();
        assert_eq!(ack[..4], 4u32.to_ne_bytes());
        u64::from_ne_bytes(ack[8..16].try_into().unwrap())
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        let _ = self.client.as_mut().unwrap().write_all(bytes);
    }
}

impl Drop for FakeProducer {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
        let _ = std::fs::remove_file(&self.place);
    }
}

/// A note of a frame of that many bytes in that slot, with nothing special.
pub fn plain_note(slot: u64, size: u64, sequence: u64) -> Note<'static> {
    Note {
        generation: 1,
        offset: slot * STRIDE + FIRST,
        size,
        sequence,
        flags: 0,
        times: Times::default(),
        planes: Planes::default(),
        caps: "",
        fields: &[],
    }
}
