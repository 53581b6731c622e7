//! The control thread's work: it owns every socket and is the only one that sends.

use std::{
    collections::BTreeMap,
    io,
    ops::Range,
    time::{Duration, Instant},
};

use super::{
    CAT,
    notifier::{Event, Notifier},
    shared::Shared,
};
use crate::os::area::Area;
use crate::os::area::AreaError;
use crate::os::listener::Listener;
use crate::os::peer::Peer;
use crate::os::peer::Received;
use crate::os::peer::Sent;
use crate::os::poll::Poller;
use crate::os::reaper;
use crate::shm::client::ClientId;
use crate::shm::layout::Layout;
use crate::shm::server::Refusal;
use crate::shm::wire::AckParser;
use crate::sync::Arc;

const LISTENER: u64 = 0;
/// Client numbers start at 1 and never come here.
const WAKER: u64 = u64::MAX;
/// Clients taken on before the others get their turn again.
const ACCEPTS_PER_TURN: usize = 8;
/// No client is accepted while a handler is behind by so many events: those that leave keep their file descriptors until it is told.
const MAX_UNTOLD: usize = 64;
/// How long no client is accepted after that, or after the system had no file descriptor for one.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long to wait for memory that is on its way back.
const MEMORY_PAUSE: Duration = Duration::from_millis(10);
/// Bytes that are given memory in one turn. A few milliseconds' work, during which clients wait.
const PORTION: u64 = 4 << 20;

#[derive(Debug)]
struct Connection {
    id: ClientId,
    peer: Peer,
    acks: AckParser,
    /// The message that is next on the socket. Not empty for longer only while the socket is full.
    message: Vec<u8>,
    waits_for_room: bool,
}

#[derive(Debug)]
pub(super) struct Control {
    shared: Arc<Shared>,
    notifier: Notifier,
    listener: Listener,
    poller: Poller,
    connections: BTreeMap<u64, Connection>,
    /// Not before this.
    accept_again: Option<Instant>,
    /// Accepted, but the slots that it would be promised have no memory yet. Until then nobody else is accepted.
    newcomer: Option<Peer>,
    growth: Option<Growth>,
    /// Something was done after which there may be more to do, or to send, so long later, without anybody waking us for it.
    again: Option<Duration>,
}

/// A slot on its way to have memory.
#[derive(Debug)]
struct Growth {
    area: Arc<Area>,
    layout: Layout,
    slot: usize,
    /// Bytes of it that have memory.
    done: u64,
}

impl Growth {
    /// Bytes of the slot from there on.
    fn from(&self, done: u64) -> Range<u64> {
        self.layout.bytes_of(self.slot) + done..self.layout.bytes_of(self.slot + 1)
    }
}

impl Control {
    pub fn new(shared: Arc<Shared>, listener: Listener, notifier: Notifier) -> io::Result<Self> {
        let poller = Poller::new()?;
        poller.add(&listener, LISTENER)?;
        poller.add(shared.waker(), WAKER)?;
        Ok(Self {
            shared,
            notifier,
            listener,
            poller,
            connections: BTreeMap::new(),
            accept_again: None,
            newcomer: None,
            growth: None,
            again: None,
        })
    }

    /// Deals with what happens until the server is stopped.
    pub fn serve(mut self) -> io::Result<()> {
        let mut turned = Ok(());
        while turned.is_ok() && !self.shared.is_stopped() {
            turned = self.turn();
        }
        self.shut_down();
        turned
    }

    /// Waits for something to happen and deals with it.
    fn turn(&mut self) -> io::Result<()> {
        let timeout = self.again.take().or_else(|| {
            self.accept_again
                .map(|then| then.saturating_duration_since(Instant::now()))
        });
        let ready = self.poller.wait(timeout)?;
        if self.accept_again.is_some_and(|then| then <= Instant::now()) {
            self.accept_again = None;
            self.poller.modify(&self.listener, LISTENER, true, false)?;
        }
        for ready in ready {
            match ready.token {
                WAKER => self.shared.waker().acknowledge(),
                LISTENER => self.accept()?,
                number if ready.readable => self.receive(number),
                _ => (),
            }
        }
        self.transmit();
        self.tidy();
        self.grow();
        Ok(())
    }

    /// Sends what is still to be sent as far as clients take it at once, and parts with all of them.
    fn shut_down(mut self) {
        self.transmit();
        let numbers: Vec<u64> = self.connections.keys().copied().collect();
        for number in numbers {
            self.disconnect(number);
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        for _ in 0..ACCEPTS_PER_TURN {
            if self.newcomer.is_some() {
                break;
            }
            if self.notifier.untold() >= MAX_UNTOLD {
                return self.pause_accepting();
            }
            match self.listener.accept() {
                Ok(Some(peer)) => self.take_on(peer),
                Ok(None) => break,
                Err(error) => {
                    gst::warning!(CAT, "Cannot accept a client now: {error}");
                    return self.pause_accepting();
                }
            }
        }
        Ok(())
    }

    fn pause_accepting(&mut self) -> io::Result<()> {
        self.accept_again = Some(Instant::now() + ACCEPT_PAUSE);
        self.poller.modify(&self.listener, LISTENER, false, false)
    }

    fn take_on(&mut self, peer: Peer) {
        let facts = crate::shm::client::Peer {
            fd: peer.fd(),
            pid: peer.pid(),
        };
        let connected = self.shared.lock().server.handle_connect(facts);
        let id = match connected {
            Ok(id) => id,
            Err(Refusal::NeedsSlots) => {
                self.newcomer = Some(peer);
                return;
            }
            Err(Refusal::Full) => {
                gst::warning!(
                    CAT,
                    "Refused process {}: there are max-clients clients already",
                    facts.pid
                );
                return;
            }
        };
        let number = id.number();
        if let Err(error) = self.poller.add(&peer, number) {
            gst::warning!(CAT, "Refused process {}: {error}", facts.pid);
            self.shared.lock().server.handle_disconnect(id);
            return;
        }
        gst::info!(CAT, "Process {} connected, fd {}", facts.pid, facts.fd);
        self.notifier.notify(Event::Connected(facts.fd));
        self.connections.insert(
            number,
            Connection {
                id,
                peer,
                acks: AckParser::default(),
                message: Vec::new(),
                waits_for_room: false,
            },
        );
        self.shared.client_arrived();
    }

    /// Gives the current area some of the memory that clients and the newcomer are to have. Here and not in the stream, and in portions, because
    /// neither the stream nor the other clients are to wait for it.
    fn grow(&mut self) {
        match self.reserve_portion() {
            Ok(()) => {
                if let Some(peer) = self.newcomer.take() {
                    self.again = Some(Duration::ZERO);
                    self.take_on(peer);
                }
            }
            // It may be enough when that is done.
            Err(AreaError::NoSpace { .. }) if reaper::is_busy() => {
                self.again = Some(MEMORY_PAUSE);
            }
            Err(error) => {
                self.again = Some(Duration::ZERO);
                if let Some(peer) = self.newcomer.take() {
                    gst::warning!(CAT, "Refused process {}: {error}", peer.pid());
                    return;
                }
                let last = self.shared.lock().server.last_in_line();
                if let Some(id) = last {
                    gst::warning!(CAT, "A client goes: there is no memory for it: {error}");
                    self.disconnect(id.number());
                }
            }
        }
    }

    /// Does nothing when there is nothing to do.
    fn reserve_portion(&mut self) -> Result<(), AreaError> {
        let newcomers = usize::from(self.newcomer.is_some());
        let wanted = {
            let state = self.shared.lock();
            state
                .server
                .slot_wanted(newcomers)
                .and_then(|(layout, slot)| {
                    let area = state.areas.get(&layout.generation)?.clone();
                    Some((area, layout, slot))
                })
        };
        let mut growth = match (self.growth.take(), wanted) {
            (Some(growth), Some((_, layout, slot)))
                if (growth.layout.generation, growth.slot) == (layout.generation, slot) =>
            {
                growth
            }
            (before, wanted) => {
                if let Some(growth) = before {
                    // Frames go to another area now, or so many slots are no longer wanted.
                    growth.area.give_back(growth.from(0));
                }
                let Some((area, layout, slot)) = wanted else {
                    return Ok(());
                };
                Growth {
                    area,
                    layout,
                    slot,
                    done: 0,
                }
            }
        };
        let mut bytes = growth.from(growth.done);
        bytes.end = bytes.end.min(bytes.start + PORTION);
        let size = bytes.end - bytes.start;
        if let Err(error) = growth.area.reserve(bytes) {
            growth.area.give_back(growth.from(0));
            return Err(error);
        }
        growth.done += size;
        self.again = Some(Duration::ZERO);
        if growth.done < growth.layout.stride {
            self.growth = Some(growth);
            return Ok(());
        }
        let counted = self
            .shared
            .lock()
            .server
            .handle_reserved(growth.layout.generation, growth.slot);
        if !counted {
            growth.area.give_back(growth.from(0));
        }
        Ok(())
    }

    fn receive(&mut self, number: u64) {
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
            gst::info!(CAT, "Client fd {} goes: {reason}", connection.peer.fd());
            self.disconnect(number);
        }
    }

    fn transmit(&mut self) {
        let mut gone = Vec::new();
        for (number, connection) in &mut self.connections {
            let full = loop {
                if !connection.message.is_empty() {
                    match connection.peer.send(&connection.message) {
                        Sent::Whole => connection.message.clear(),
                        Sent::Full => break true,
                        Sent::Gone(error) => {
                            gst::info!(CAT, "Client fd {} goes: {error}", connection.peer.fd());
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
                    .modify(&connection.peer, *number, true, full)
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

    /// Parts with whom the server has given up, and with memory that nobody needs.
    fn tidy(&mut self) {
        loop {
            let evicted = self.shared.lock().server.poll_evicted();
            let Some(id) = evicted else { break };
            gst::warning!(
                CAT,
                "A client goes: it holds frames from too many changes of size ago"
            );
            self.disconnect(id.number());
        }
        let (retired, freed) = {
            let mut state = self.shared.lock();
            let freed = state.take_freed();
            (state.take_retired(), freed)
        };
        reaper::give_back_later(freed);
        reaper::drop_later(retired);
    }

    fn disconnect(&mut self, number: u64) {
        let Some(connection) = self.connections.remove(&number) else {
            return;
        };
        // Closing it would do, but it is closed later than this, and by children of ours that have it not at all.
        let _ = self.poller.remove(&connection.peer);
        connection.peer.shut_down();
        // Only now: its slots may be written from here on.
        self.shared.lock().server.handle_disconnect(connection.id);
        self.notifier.notify(Event::Disconnected(connection.peer));
        // Its share is others' now.
        self.again = Some(Duration::ZERO);
    }
}
