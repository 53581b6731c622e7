//! The connection to a producer, and the frames that came over it.

use std::{collections::VecDeque, io, path::Path};

use crate::os::mapping::Part;
use crate::os::poll::Waker;
use crate::os::server::Sent;
use crate::os::server::Server;
use crate::shm::wire::Ack;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Mutex};

/// Lives as long as the element reads from it, or somebody has a frame of it.
#[derive(Debug)]
pub(super) struct Connection {
    server: Server,
    /// Acks on their way, oldest first; see the wake-ups in this folder's `mod.rs`.
    unsent: Mutex<VecDeque<Vec<u8>>>,
    outstanding: AtomicU64,
    waker: Arc<Waker>,
}

impl Connection {
    pub fn open(path: &Path, waker: &Arc<Waker>) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            server: Server::connect(path)?,
            unsent: Mutex::default(),
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
        !self.unsent.lock().is_empty()
    }

    /// The producer may write there again. Never waits.
    pub fn ack(&self, generation: u32, offset: u64) {
        let message = Ack { offset }.encode(generation);
        self.unsent.lock().push_back(message);
        self.flush();
    }

    /// Sends what the socket has room for.
    pub fn flush(&self) {
        loop {
            let next = self.unsent.lock().pop_front();
            let Some(message) = next else {
                return;
            };
            match self.server.send(&message) {
                Sent::Whole => (),
                Sent::Full => {
                    self.unsent.lock().push_front(message);
                    self.waker.wake();
                    return;
                }
                // Whoever is gone needs no acks.
                Sent::Gone => return self.unsent.lock().clear(),
            }
        }
    }
}

/// A frame in the producer's memory, acked when nobody has it any more.
#[derive(Debug)]
pub(super) struct Held {
    connection: Arc<Connection>,
    part: Option<Part>,
    generation: u32,
    offset: u64,
}

impl Held {
    pub fn new(connection: &Arc<Connection>, part: Part, generation: u32, offset: u64) -> Self {
        connection.outstanding.fetch_add(1, Ordering::Relaxed);
        Self {
            connection: connection.clone(),
            part: Some(part),
            generation,
            offset,
        }
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.part.as_ref().map_or(&[], AsRef::as_ref)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Nothing of it is mapped for this frame once the producer may write there.
        drop(self.part.take());
        self.connection.outstanding.fetch_sub(1, Ordering::Relaxed);
        self.connection.ack(self.generation, self.offset);
    }
}
