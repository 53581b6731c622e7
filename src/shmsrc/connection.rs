//! The connection to a producer, and the frames that came over it.

use std::{io, path::Path};

use crate::os::mapping::Part;
use crate::os::poll::Waker;
use crate::os::server::Server;
use crate::shm::unsent::Unsent;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};

/// Acks that wait for room. A producer has no more frames out than it has slots, so one that reads has read most of them before it sends more.
const MOST_UNSENT: usize = 4096;

/// Lives as long as the element reads from it, or somebody has a frame of it.
#[derive(Debug)]
pub(super) struct Connection {
    server: Server,
    unsent: Unsent<Vec<u8>>,
    outstanding: AtomicU64,
    waker: Arc<Waker>,
}

impl Connection {
    pub fn open(path: &Path, waker: &Arc<Waker>) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            server: Server::connect(path)?,
            unsent: Unsent::default(),
            outstanding: AtomicU64::new(0),
            waker: waker.clone(),
        }))
    }

    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Frames that somebody has.
    pub fn outstanding(&self) -> u64 {
        self.outstanding.load(Ordering::Relaxed)
    }

    /// There are acks that the socket had no room for.
    pub fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// So many that its producer sends without reading: what is received from it adds to them, without an end.
    pub fn has_too_many_unsent(&self) -> bool {
        self.unsent.len() > MOST_UNSENT
    }

    /// Tells the producer that a frame is his again. Never waits.
    fn give_back(&self, message: Vec<u8>) {
        self.unsent.push(message);
        self.flush();
    }

    /// Sends what the socket has room for.
    pub fn flush(&self) {
        self.unsent
            .flush(|message| self.server.send(message), || self.waker.wake());
    }
}

/// A frame of the producer's, given back when nobody has it any more.
#[derive(Debug)]
pub(super) struct Held {
    connection: Arc<Connection>,
    /// What says so.
    message: Vec<u8>,
}

impl Held {
    pub fn new(connection: &Arc<Connection>, message: Vec<u8>) -> Self {
        connection.outstanding.fetch_add(1, Ordering::Relaxed);
        Self {
            connection: connection.clone(),
            message,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.connection.outstanding.fetch_sub(1, Ordering::Relaxed);
        self.connection.give_back(std::mem::take(&mut self.message));
    }
}

/// Mapped bytes of a frame that the producer gets back when these, and others of the same frame, are gone.
#[derive(Debug)]
pub(super) struct Bytes {
    // Nothing of it is mapped for this frame once the producer may write there: it goes first.
    part: Part,
    _held: Arc<Held>,
}

impl Bytes {
    pub fn new(part: Part, held: &Arc<Held>) -> Self {
        Self {
            part,
            _held: held.clone(),
        }
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self.part.as_ref()
    }
}
