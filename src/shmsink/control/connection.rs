//! One client's connection: what is read from it and written to it.

use std::{io, os::fd::OwnedFd};

use super::Control;
use crate::os::area::Area;
use crate::os::peer::Peer;
use crate::os::peer::Received;
use crate::os::peer::Sent;
use crate::os::poll::Poller;
use crate::shm::client::ClientId;
use crate::shm::client::Peer as Facts;
use crate::shm::wire::AckParser;
use crate::shm::wire::Message;
use crate::shmsink::CAT;
use crate::shmsink::shared::State;
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
    /// What goes along with it: the memory that it announces.
    area: Option<Arc<Area>>,
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
            area: None,
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
        self.area = None;
        self.waits_for_room = false;
        self.peer.finish();
    }

    /// Sends the message that is next, if there is room for it on the socket; the poller tells when there is.
    fn send(&mut self, poller: &Poller, number: u64) -> io::Result<()> {
        if self.message.is_empty() {
            return Ok(());
        }
        let area = self.area.as_ref().map(|area| area.readable());
        let full = match self.peer.send(&self.message, area) {
            Sent::Whole => {
                self.message.clear();
                self.area = None;
                false
            }
            Sent::Full => true,
            Sent::Gone(error) => return Err(error),
        };
        if full != std::mem::replace(&mut self.waits_for_room, full) {
            poller.modify(&*self.peer, number, true, full)?;
        }
        Ok(())
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
                let server = &mut self.shared.lock().server;
                loop {
                    match connection.acks.next(&mut bytes) {
                        Ok(None) => break None,
                        Err(error) => break Some(error.to_string()),
                        Ok(Some(ack)) => {
                            let handled = server.handle_ack(connection.id, ack.offset, now);
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

    /// A message for everybody at a time: the streaming thread waits for the lock under which they are taken from the server.
    pub(super) fn transmit(&mut self) {
        let mut gone = Vec::new();
        let mut first = true;
        loop {
            // Who had no room has none yet.
            let asked = self.connections.iter_mut();
            for (number, connection) in asked.filter(|(_, it)| first || !it.waits_for_room) {
                if let Err(error) = connection.send(&self.poller, *number) {
                    gst::info!(CAT, "{} goes: {error}", connection.name());
                    gone.push(*number);
                }
            }
            for number in gone.drain(..) {
                self.disconnect(number);
            }
            first = false;
            if !self.next_messages() {
                return;
            }
        }
    }

    /// Has something to send for those that have sent what they had. False when there is nothing.
    fn next_messages(&mut self) -> bool {
        let now = self.shared.now();
        let State { server, areas, .. } = &mut *self.shared.lock();
        let mut some = false;
        for connection in self.connections.values_mut() {
            if connection.message.is_empty()
                && let Some(message) = server.poll_transmit(connection.id, now)
            {
                message.encode(&mut connection.message);
                if let Message::NewArea { generation, .. } = message {
                    connection.area = areas.get(&generation).cloned();
                }
                some = true;
            }
        }
        some
    }
}
