//! The control thread's work: it owns every socket and is the only one that sends.
//!
//! [`accept`]: who is taken on. [`connection`]: what is read from and written to a client. [`growth`]: memory for slots.

mod accept;
mod connection;
mod growth;

use std::{collections::BTreeMap, io, time::Duration};

use super::{
    CAT,
    fd::table::Idle,
    notifier::{self, Event, Notifier},
    settings::Allowed,
    shared::Shared,
};
use crate::os::area;
use crate::os::listener::Listener;
use crate::os::poll::Poller;
use crate::os::reaper;
use crate::shm::client::ClientId;
use crate::shm::server::{Change, Why};
use crate::sync::Arc;
use accept::{Accepting, Newcomer};
use connection::{Connection, PROCESS};
use growth::Growth;

const LISTENER: u64 = 0;
/// Client numbers start at 1 and never come here.
const WAKER: u64 = u64::MAX;
/// The system takes no time of any length.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// How often to see whether clients have read what there is for them. Nobody says so.
const DRAIN_PERIOD: Duration = Duration::from_millis(2);

#[derive(Debug)]
pub(super) struct Control {
    shared: Arc<Shared>,
    notifier: Notifier,
    listener: Listener,
    allowed: Allowed,
    /// Frames that each client may hold.
    window: usize,
    poller: Poller,
    connections: BTreeMap<u64, Connection>,
    accepting: Accepting,
    /// The poller tells of those who want to be accepted.
    listens: bool,
    /// Accepted, but the slots that it would be promised have no memory yet. Until then nobody else is accepted.
    newcomer: Option<Newcomer>,
    growth: Option<Growth>,
    /// Until memory that there was not is asked for again.
    memory_pause: Duration,
    /// Something was done after which there may be more to do, or to send, so long later, without anybody waking us for it.
    again: Option<Duration>,
}

impl Control {
    pub fn new(
        shared: Arc<Shared>,
        listener: Listener,
        allowed: Allowed,
        notifier: Notifier,
    ) -> io::Result<Self> {
        let window = shared.lock().server.limits().window;
        let poller = Poller::new()?;
        poller.add(&listener, LISTENER)?;
        poller.add(shared.waker(), WAKER)?;
        Ok(Self {
            shared,
            notifier,
            listener,
            allowed,
            window,
            poller,
            connections: BTreeMap::new(),
            accepting: Accepting::default(),
            listens: true,
            newcomer: None,
            growth: None,
            memory_pause: growth::MEMORY_PAUSE,
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
        self.listen()?;
        let timeout = self.timeout();
        let ready = self.poller.wait(timeout)?;
        for ready in ready {
            match ready.token {
                WAKER => self.shared.waker().acknowledge(),
                LISTENER => self.accept(),
                number if number & PROCESS != 0 => self.process_ended(number & !PROCESS),
                number if ready.readable => self.receive(number),
                _ => (),
            }
        }
        self.watch();
        self.transmit();
        self.part();
        self.tidy();
        self.grow();
        self.drain();
        Ok(())
    }

    /// Until when there is nothing to do but for what wakes us.
    fn timeout(&mut self) -> Option<Duration> {
        let stalls = self.shared.lock().server.poll_timeout();
        let stalls = stalls.map(|then| then.saturating_sub(self.shared.now()));
        let accepts = self.accepting.again();
        [self.again.take(), stalls, accepts]
            .into_iter()
            .flatten()
            .min()
            .map(|timeout| timeout.min(LONGEST_WAIT))
    }

    fn look_again_after(&mut self, pause: Duration) {
        self.again = Some(self.again.map_or(pause, |again| again.min(pause)));
    }

    /// Sends what is still to be sent as far as clients take it at once, and parts with all of them.
    fn shut_down(mut self) {
        self.stop_growing();
        // Acks are heard no more: nobody waits for the newest frame.
        self.shared.lock().server.set_mailbox(false);
        self.transmit();
        // While it is known what clients hold: a stopped one keeps only that, not the whole area.
        let freed = {
            let mut state = self.shared.lock();
            state.server.close_area();
            state.take_freed()
        };
        reaper::give_back_later(freed);
        let numbers: Vec<u64> = self.connections.keys().copied().collect();
        for number in numbers {
            self.disconnect(number);
        }
    }

    /// Notices who has been passed by for too long, and who is back.
    fn watch(&mut self) {
        let now = self.shared.now();
        let changes: Vec<Change> = {
            let server = &mut self.shared.lock().server;
            if server.poll_timeout().is_some_and(|then| then <= now) {
                server.handle_timeout(now);
            }
            std::iter::from_fn(|| server.poll_change()).collect()
        };
        for change in changes {
            let (id, change, text) = match change {
                Change::Stalled(id) => (id, notifier::Change::Stalled, "stalls"),
                Change::Resumed(id) => (id, notifier::Change::Resumed, "goes on"),
            };
            let Some(connection) = self.connections.get(&id.number()) else {
                continue;
            };
            gst::info!(CAT, "{} {text}", connection.name());
            // Clients can do this as often as they like; a handler that is behind is told the rest of the story only.
            if self.notifier.untold() < accept::MAX_UNTOLD {
                self.notifier.notify(connection.event(change));
            }
        }
    }

    /// Parts with whom the server has given up. Who may still look at frames is listened to until it lets go of them.
    fn part(&mut self) {
        loop {
            let evicted = self.shared.lock().server.poll_evicted();
            let Some(eviction) = evicted else { break };
            let number = eviction.id.number();
            let Some(connection) = self.connections.get_mut(&number) else {
                continue;
            };
            let why = match eviction.why {
                Why::Stalled => "it was stalled for longer than evict-after",
                Why::Asked => "evict-client was called",
                Why::TooManyAreas => "it holds frames from too many changes of size ago",
                Why::NoMemory => "there is no memory for its frames",
            };
            gst::warning!(CAT, "{} is evicted: {why}", connection.name());
            connection.leave();
            for change in [notifier::Change::Evicted, notifier::Change::Disconnected] {
                self.notifier.notify(connection.event(change));
            }
            if !eviction.quarantined {
                self.forget(number);
            } else if self
                .poller
                .modify(&*connection.peer, number, true, false)
                .is_err()
            {
                self.disconnect(number);
            }
            self.look_again_after(Duration::ZERO);
        }
        let forgotten: Vec<ClientId> = {
            let server = &mut self.shared.lock().server;
            std::iter::from_fn(|| server.poll_forgotten()).collect()
        };
        for id in forgotten {
            self.forget(id.number());
        }
    }

    /// Gives back memory and frames that nobody needs.
    fn tidy(&mut self) {
        let (retired, freed, idle) = {
            let mut state = self.shared.lock();
            let freed = state.take_freed();
            (
                state.take_retired(),
                freed,
                state.take_idle_frames(Idle::Upstreams),
            )
        };
        // Their owners are told.
        drop(idle);
        reaper::give_back_later(freed);
        area::remove(retired);
    }

    /// Says when clients have read what there is for them, if somebody waits for that. Nobody waits for those that are stalled.
    fn drain(&mut self) {
        if !self.shared.is_draining() {
            return;
        }
        let done = self.connections.values().all(|connection| {
            let server = &self.shared.lock().server;
            server.is_stalled(connection.id) || server.is_told(connection.id)
        }) && self.connections.values().all(|connection| {
            let stalled = self.shared.lock().server.is_stalled(connection.id);
            stalled || (connection.is_heard() && connection.knows_end())
        });
        if done {
            self.shared.drained();
        } else {
            self.look_again_after(DRAIN_PERIOD);
        }
    }

    /// The process that connected is no more, even if a child of its still has the connection.
    fn process_ended(&mut self, number: u64) {
        if let Some(connection) = self.connections.get(&number) {
            gst::info!(CAT, "{} goes: its process has ended", connection.name());
            self.disconnect(number);
        }
    }

    /// A client is gone, and what it held is nobody's.
    fn disconnect(&mut self, number: u64) {
        let Some(connection) = self.forget(number) else {
            return;
        };
        self.memory_pause = growth::MEMORY_PAUSE;
        // Only now: its slots may be written from here on.
        self.shared.lock().server.handle_disconnect(connection.id);
        if !connection.leaves {
            self.notifier
                .notify(connection.event(notifier::Change::Disconnected));
        }
        // Its share is others' now.
        self.look_again_after(Duration::ZERO);
    }

    /// Closes a connection.
    fn forget(&mut self, number: u64) -> Option<Connection> {
        let connection = self.connections.remove(&number)?;
        // Closing it would do, but it is closed later than this, and by children of ours that have it not at all.
        let _ = self.poller.remove(&*connection.peer);
        if let Some(process) = &connection.process {
            let _ = self.poller.remove(process);
        }
        connection.peer.shut_down();
        Some(connection)
    }
}

impl Connection {
    fn event(&self, change: notifier::Change) -> Event {
        Event::Client(change, self.peer.clone(), self.facts.clone())
    }
}
