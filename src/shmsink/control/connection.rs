//! One client's connection: what is read from it and written to it.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use super::Control;
use crate::os::area::Area;
use crate::os::peer::Peer;
use crate::os::peer::Received;
use crate::os::peer::Sent;
use crate::os::poll::Poller;
use crate::shm::client::ClientId;
use crate::shm::client::Facts;
use crate::shm::fd::wire::{NotARelease, ReleaseParser};
use crate::shm::server::Server;
use crate::shm::wire::AckParser;
use crate::shm::wire::Message;
use crate::shm::wire::NotAnAck;
use crate::shmsink::CAT;
use crate::shmsink::fd::table::{Content, Outgoing, Table};
use crate::shmsink::shared::State;
use crate::sync::Arc;

/// How long to wait when more descriptors are under way than may be.
const DESCRIPTORS_PAUSE: Duration = Duration::from_millis(10);

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
    acks: Acks,
    next: Next,
    waits_for_room: bool,
    /// It was told that the stream is at its end, on a wire that has a message for that.
    knows_end: bool,
}

/// What clients say, on either wire.
#[derive(Debug)]
enum Acks {
    Shm(AckParser),
    Fd(ReleaseParser),
}

#[derive(Debug, thiserror::Error)]
enum NoAck {
    #[error(transparent)]
    Shm(#[from] NotAnAck),
    #[error(transparent)]
    Fd(#[from] NotARelease),
}

impl Acks {
    /// Where the next frame lies that was given back, or its id, which is the same.
    fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<u64>, NoAck> {
        Ok(match self {
            Self::Shm(parser) => parser.next(bytes)?.map(|ack| ack.offset),
            Self::Fd(parser) => parser.next(bytes)?,
        })
    }
}

/// The message that is next on the socket. Not empty for longer only while the socket is full.
#[derive(Debug, Default)]
struct Next {
    bytes: Vec<u8>,
    with: With,
    /// Bytes that were sent.
    sent: usize,
}

/// What goes along with a message.
#[derive(Debug, Default)]
enum With {
    #[default]
    Nothing,
    /// The memory that it announces, for those that look for it.
    Area(Arc<Area>),
    /// A frame, whose message it is.
    Frame(Arc<Content>),
}

impl Next {
    fn bytes(&self) -> &[u8] {
        let bytes = match &self.with {
            With::Frame(content) => content.command(),
            _ => &self.bytes,
        };
        bytes.get(self.sent..).unwrap_or_default()
    }

    fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.with = With::Nothing;
        self.sent = 0;
    }

    fn send(&self, peer: &Peer) -> Sent {
        match &self.with {
            With::Area(area) if self.sent == 0 => peer.send(self.bytes(), &[area.readable()]),
            With::Frame(content) if self.sent == 0 => {
                peer.send(self.bytes(), &content.descriptors())
            }
            _ => peer.send(self.bytes(), &[]),
        }
    }
}

impl Connection {
    pub fn new(
        id: ClientId,
        peer: Arc<Peer>,
        process: Option<OwnedFd>,
        facts: Facts,
        passes_fds: bool,
    ) -> Self {
        Self {
            id,
            peer,
            process,
            facts,
            leaves: false,
            acks: match passes_fds {
                true => Acks::Fd(ReleaseParser::default()),
                false => Acks::Shm(AckParser::default()),
            },
            next: Next::default(),
            waits_for_room: false,
            knows_end: false,
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
        self.next.clear();
        self.waits_for_room = false;
        self.peer.finish();
    }

    /// Sends the message that is next, if there is room for it on the socket; the poller tells when there is. Says how long to wait where nobody tells.
    fn send(&mut self, poller: &Poller, number: u64) -> io::Result<Option<Duration>> {
        let mut pause = None;
        let full = loop {
            if self.next.is_empty() {
                break false;
            }
            match self.next.send(&self.peer) {
                Sent::Whole => {
                    self.next.clear();
                    break false;
                }
                // A reader of areas cannot cope with a part.
                Sent::Part(_) if matches!(self.acks, Acks::Shm(_)) => {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                Sent::Part(bytes) => self.next.sent += bytes,
                // The message has a name in it as well.
                Sent::TooManyDescriptors if matches!(self.next.with, With::Area(_)) => {
                    self.next.with = With::Nothing;
                }
                Sent::TooManyDescriptors => {
                    pause = Some(DESCRIPTORS_PAUSE);
                    break false;
                }
                Sent::Full => break true,
                Sent::Gone(error) => return Err(error),
            }
        };
        if full != std::mem::replace(&mut self.waits_for_room, full) {
            poller.modify(self.peer.as_fd(), number, true, full)?;
        }
        Ok(pause)
    }

    /// Takes the next message from the server, on the wire that frames travel on as file descriptors. False when there is none.
    fn take_fd(&mut self, server: &mut Server, table: &Table, now: Duration) -> bool {
        while let Some(message) = server.poll_transmit(self.id, now) {
            match table.message(&message) {
                Outgoing::Frame(content) => {
                    self.next.with = With::Frame(content);
                    return true;
                }
                Outgoing::Caps(command) => {
                    self.next.bytes.extend_from_slice(&command);
                    return true;
                }
                // The wire has no word for it.
                Outgoing::Nothing => (),
            }
        }
        let ends = table.has_ended() && server.is_told(self.id);
        let tell = ends && !self.knows_end && !self.leaves;
        self.knows_end = table.has_ended() && (self.knows_end || ends);
        if tell {
            table.end(&mut self.next.bytes);
        }
        tell
    }

    /// Takes the next message from the server, on the wire of the stock `shmsink`. False when there is none.
    fn take_shm(&mut self, state: &mut State, now: Duration) -> bool {
        let Some(message) = state.server.poll_transmit(self.id, now) else {
            return false;
        };
        message.encode(&mut self.next.bytes);
        if let Message::NewArea { generation, .. } = message
            && let Some(area) = state.areas.get(&generation)
        {
            self.next.with = With::Area(area.clone());
        }
        true
    }

    /// The client has read all that was sent, and all that was to be sent was.
    pub fn is_heard(&self) -> bool {
        self.leaves || (self.next.is_empty() && self.peer.has_read_all())
    }

    /// It knows that the stream is at its end, as far as there is a message for that.
    pub fn knows_end(&self) -> bool {
        self.knows_end || matches!(self.acks, Acks::Shm(_))
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
                        Ok(Some(offset)) => {
                            let handled = server.handle_ack(connection.id, offset, now);
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
        let mut pause = None;
        loop {
            // Who had no room has none yet.
            let asked = self.connections.iter_mut();
            for (number, connection) in asked.filter(|(_, it)| first || !it.waits_for_room) {
                match connection.send(&self.poller, *number) {
                    Ok(waits) => pause = pause.or(waits),
                    Err(error) => {
                        gst::info!(CAT, "{} goes: {error}", connection.name());
                        gone.push(*number);
                    }
                }
            }
            for number in gone.drain(..) {
                self.disconnect(number);
            }
            first = false;
            if !self.next_messages() {
                break;
            }
        }
        if let Some(pause) = pause {
            self.look_again_after(pause);
        }
    }

    /// Has something to send for those that have sent what they had. False when there is nothing.
    fn next_messages(&mut self) -> bool {
        let now = self.shared.now();
        let state = &mut *self.shared.lock();
        let mut some = false;
        for connection in self.connections.values_mut() {
            if connection.next.is_empty() {
                some |= match &state.table {
                    Some(table) => connection.take_fd(&mut state.server, table, now),
                    None => connection.take_shm(state, now),
                };
            }
        }
        some
    }
}
