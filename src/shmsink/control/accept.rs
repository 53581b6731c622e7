//! Who is taken on, and how many in how short a time.

use std::{
    io,
    time::{Duration, Instant},
};

use super::{
    Control, LISTENER,
    connection::{Connection, PROCESS},
};
use crate::os::peer::{self, Peer};
use crate::shm::client::Facts;
use crate::shm::server::Refusal;
use crate::shmsink::{
    CAT,
    notifier::{self, Event},
};
use crate::sync::Arc;

/// Clients taken on before the others get their turn again.
const PER_TURN: usize = 8;
/// Clients taken on in one period. More come only from somebody who wants to be a nuisance.
const PER_PERIOD: usize = 100;
/// Messages on a socket beside the frames: caps, and what becomes of the stream.
const ROOM_FOR_OTHERS: usize = 4;
const PERIOD: Duration = Duration::from_millis(100);
/// No client is accepted while a handler is behind by so many events: those that leave keep their file descriptors until it is told.
pub(super) const MAX_UNTOLD: usize = 64;
/// How long no client is accepted after that, or after the system had no file descriptor for one.
const PAUSE: Duration = Duration::from_millis(100);

/// A client that has no place yet.
#[derive(Debug)]
pub(super) struct Newcomer {
    pub peer: Peer,
    pub facts: Facts,
}

/// How many were accepted, and until when nobody is.
#[derive(Debug, Default)]
pub(super) struct Accepting {
    again: Option<Instant>,
    period: Option<Instant>,
    in_period: usize,
}

impl Accepting {
    /// How long nobody is accepted; `None` when somebody is.
    pub fn again(&self) -> Option<Duration> {
        self.again
            .map(|then| then.saturating_duration_since(Instant::now()))
    }

    fn pause(&mut self, pause: Duration) {
        self.again = Some(Instant::now() + pause);
    }

    /// If it is over.
    fn end_pause(&mut self) {
        self.again = self.again.filter(|then| *then > Instant::now());
    }

    /// Counts one more; when there have been too many, how long nobody else is to be accepted.
    fn count(&mut self) -> Option<Duration> {
        let now = Instant::now();
        let began = *self.period.get_or_insert(now);
        let left = PERIOD.saturating_sub(now.saturating_duration_since(began));
        if left.is_zero() {
            self.period = Some(now);
            self.in_period = 0;
        }
        self.in_period += 1;
        (self.in_period > PER_PERIOD).then_some(left)
    }
}

impl Control {
    pub(super) fn accept(&mut self) {
        for _ in 0..PER_TURN {
            if !self.accepts() {
                return;
            }
            if self.notifier.untold() >= MAX_UNTOLD {
                return self.accepting.pause(PAUSE);
            }
            match self.listener.accept() {
                Ok(Some(peer)) => {
                    self.look_at(peer);
                    if let Some(pause) = self.accepting.count() {
                        self.accepting.pause(pause);
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    gst::warning!(CAT, "Cannot accept a client now: {error}");
                    self.accepting.pause(PAUSE);
                }
            }
        }
    }

    fn accepts(&self) -> bool {
        self.newcomer.is_none() && self.accepting.again.is_none()
    }

    /// Has the poller tell of those who want to be accepted, exactly while somebody would be: it would not let us sleep otherwise.
    pub(super) fn listen(&mut self) -> io::Result<()> {
        self.accepting.end_pause();
        let accepts = self.accepts();
        if accepts != std::mem::replace(&mut self.listens, accepts) {
            self.poller
                .modify(&self.listener, LISTENER, accepts, false)?;
        }
        Ok(())
    }

    /// Who is it, and may it come in?
    fn look_at(&mut self, peer: Peer) {
        let credentials = peer.credentials();
        let facts = Facts {
            fd: peer.fd(),
            pid: credentials.pid,
            uid: credentials.uid,
            program: peer::program_of(credentials.pid),
        };
        if !self.allowed.allows(&credentials) {
            gst::warning!(
                CAT,
                "Refused process {} ({}): user {} and group {} are not in allow-uids or allow-gids",
                facts.pid,
                facts.program,
                credentials.uid,
                credentials.gid
            );
            return;
        }
        self.take_on(Newcomer { peer, facts });
    }

    pub(super) fn take_on(&mut self, newcomer: Newcomer) {
        let now = self.shared.now();
        let (connected, passes_fds) = {
            let mut state = self.shared.lock();
            let connected = state.server.handle_connect(newcomer.facts.clone(), now);
            (connected, state.table.is_some())
        };
        let Newcomer { peer, facts } = newcomer;
        let id = match connected {
            Ok(id) => id,
            Err(Refusal::NeedsSlots) => {
                self.newcomer = Some(Newcomer { peer, facts });
                return;
            }
            Err(Refusal::Full) => {
                gst::warning!(
                    CAT,
                    "Refused process {} ({}): there are max-clients clients already",
                    facts.pid,
                    facts.program
                );
                return;
            }
        };
        let number = id.number();
        // Not to be able to watch the process is no reason to refuse it: its connection will tell, if later.
        let process = peer
            .process()
            .filter(|process| self.poller.add(process, number | PROCESS).is_ok());
        if let Err(error) = self.poller.add(&peer, number) {
            gst::warning!(
                CAT,
                "Refused process {} ({}): {error}",
                facts.pid,
                facts.program
            );
            self.shared.lock().server.handle_disconnect(id);
            return;
        }
        if passes_fds {
            // Who gives frames back without taking them from his socket is not to have more descriptors under way than a reader needs: there is one limit
            // for all of a user's.
            peer.limit_unread(self.window + ROOM_FOR_OTHERS);
        }
        let connection = Connection::new(id, Arc::new(peer), process, facts, passes_fds);
        gst::info!(CAT, "{} connected", connection.name());
        self.notifier.notify(Event::Client(
            notifier::Change::Connected,
            connection.peer.clone(),
            connection.facts.clone(),
        ));
        self.connections.insert(number, connection);
        self.shared.client_arrived();
    }
}
