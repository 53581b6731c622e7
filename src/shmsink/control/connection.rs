//! One client's connection: what is read from it and written to it.

use std::os::fd::OwnedFd;

use super::Control;
use crate::os::peer::Peer;
use crate::os::peer::Received;
use crate::os::peer::Sent;
use crate::shm::client::ClientId;
use crate::shm::client::Peer as Facts;
use crate::shm::wire::AckParser;
use crate::shmsink::CAT;
use crate::sync::Arc;

/// Set in the token of a client's process.
pub(super) const PROCESS: u64 = 1 << 62;

#[derive(Debug)]
pub(super) struct Connection {
    pub id: ClientId,
    pub peer: Arc<Peer>,
    /// Readable when it has ended.
    pub process: Option<OwnedFd>,
    pub facts: Facts,
    /// It was evicted. Nothing is sent, but its acks and its end are heard.
    pub leaves: bool,
    acks: AckParser,
    /// The message that is next on the socket. Not empty for longer only while the socket is full.
    message: Vec<u8>,
    waits_for_room: bool,
}

impl Connection {
    pub fn new(id: ClientId, peer: Arc<Peer>, process: Option<OwnedFd>, facts: Facts) -> Self {
        Self {
            id,
            peer,
            process,
            facts,
            leaves: false,
            acks: AckParser::default(),
            message: Vec::new(),
            waits_for_room: false,
        }
    }

    /// For the log.
    pub fn name(&self) -> String {
        let Facts {
            fd, pid, program, ..
        } = &self.facts;
        format!("Client fd {fd} (process {pid}, {program})")
    }

    /// Says goodbye.
    pub fn leave(&mut self) {
        self.leaves = true;
        self.message.clear();
        self.waits_for_room = false;
        self.peer.finish();
    }

    /// The client has read all that was sent, and all that was to be sent was.
    pub fn is_heard(&self) -> bool {
        self.leaves || (self.message.is_empty() && self.peer.has_read_all())
    }
}

impl Control {
    pub(super) fn receive(&mut self, number: u64) {
        let Some(connection) = self.connections.get_mut(&number) else {
            return;
        };
        let mut buffer = [0; 4096];
        let reason = match connection.peer.recv(&mut buffer) {
            Received::Nothing => return,
            Received::Gone => Some("it closed the connection".to_owned()),
            Received::Bytes(bytes) => {
                let mut bytes = buffer.get(..bytes).unwrap_or_default();
                let now = self.shared.now();
                loop {
                    match connection.acks.next(&mut bytes) {
                        Ok(None) => break None,
                        Err(error) => break Some(error.to_string()),
                        Ok(Some(ack)) => {
                            let handled = self.shared.lock().server.handle_ack(
                                connection.id,
                                ack.offset,
                                now,
                            );
                            if let Err(error) = handled {
                                break Some(error.to_string());
                            }
                        }
                    }
                }
            }
        };
        if let Some(reason) = reason {
            gst::info!(CAT, "{} goes: {reason}", connection.name());
            self.disconnect(number);
        }
    }

    pub(super) fn transmit(&mut self) {
        let mut gone = Vec::new();
        for (number, connection) in &mut self.connections {
            let full = loop {
                if !connection.message.is_empty() {
                    match connection.peer.send(&connection.message) {
                        Sent::Whole => connection.message.clear(),
                        Sent::Full => break true,
                        Sent::Gone(error) => {
                            gst::info!(CAT, "{} goes: {error}", connection.name());
                            gone.push(*number);
                            break false;
                        }
                    }
                }
                let now = self.shared.now();
                let mut state = self.shared.lock();
                match state.server.poll_transmit(connection.id, now) {
                    Some(message) => message.encode(&mut connection.message),
                    None => break false,
                }
            };
            if full != connection.waits_for_room {
                connection.waits_for_room = full;
                if self
                    .poller
                    .modify(&*connection.peer, *number, true, full)
                    .is_err()
                {
                    gone.push(*number);
                }
            }
        }
        for number in gone {
            self.disconnect(number);
        }
    }
}
