//! The streaming thread's work: to be connected, and to take frames from the connection.

use std::{
    fs, io,
    os::{fd::OwnedFd, unix::fs::FileTypeExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{
    areas::{self, Areas},
    connection::Connection,
    control::Control,
    descriptors::{self, Descriptors},
};
use crate::os::mapping::MapError;
use crate::os::poll::Poller;
use crate::os::server::Received;
use crate::shm::fd::wire::{CommandParser, HEADER_SIZE};
use crate::shm::header::StreamState;
use crate::shm::note::Note;
use crate::shm::reader::{Frame, Violation};
use crate::sync::Arc;
use crate::sync::atomic::Ordering;

const WAKER: u64 = 0;
const SOCKET: u64 = 1;

/// How long after a failed attempt to connect comes the next. It doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// A gap that nobody sees, at a cost that nobody notices: an attempt takes some ten microseconds.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// Bytes that are received at a time. Most messages are shorter.
const MOST_AT_A_TIME: usize = 4096;

/// Messages that can be on a socket, and some.
const MOST_UNREAD: usize = 512;

/// A frame to push.
#[derive(Debug)]
pub(super) enum Delivery {
    /// In an area. If it has a note, [`Session::note`] says it.
    InArea(areas::Delivery),
    ByDescriptors(descriptors::Delivery),
}

impl Delivery {
    pub fn size(&self) -> u64 {
        match self {
            Self::InArea(delivery) => delivery.frame.size,
            Self::ByDescriptors(delivery) => delivery.size(),
        }
    }
}

/// What bytes of the producer's mean.
#[derive(Debug)]
pub(super) enum Heard {
    Nothing,
    /// An area of that name.
    Area(String),
    Frame(Delivery),
    /// A frame that nobody wants, which was given back.
    Unwanted,
    End,
}

/// Why nothing more is heard.
#[derive(Debug)]
pub(super) enum Fault {
    Violation(Violation),
    Truncated,
    Map(MapError),
}

impl<T: Into<Violation>> From<T> for Fault {
    fn from(violation: T) -> Self {
        Self::Violation(violation.into())
    }
}

/// How the producer talks.
#[derive(Debug)]
enum Wire {
    /// The first bytes tell, as far as they are here, with what has come along.
    Unknown(Vec<u8>, Vec<OwnedFd>),
    InAreas(Areas),
    ByDescriptors(Descriptors),
}

impl Wire {
    /// No more bytes are to be read at a time, so that what comes along with a message is known to be its own.
    fn wanted(&self) -> usize {
        match self {
            Self::Unknown(begin, _) => BEGIN - begin.len().min(BEGIN - 1),
            Self::InAreas(areas) => areas.wanted(),
            Self::ByDescriptors(descriptors) => descriptors.wanted(),
        }
    }

    /// Takes bytes and the file descriptors that have come with them. A frame is given back at once if nobody wants it.
    fn handle(
        &mut self,
        mut bytes: &[u8],
        fds: Vec<OwnedFd>,
        connection: &Arc<Connection>,
        is_wanted: bool,
    ) -> Result<Heard, Fault> {
        if let Self::Unknown(begin, along) = self {
            begin.extend_from_slice(bytes);
            along.extend(fds);
            let Some(first) = begin.first_chunk::<BEGIN>().copied() else {
                return Ok(Heard::Nothing);
            };
            let fds = std::mem::take(along);
            *self = match CommandParser::is_begin(first) {
                true => Self::ByDescriptors(Descriptors::default()),
                false => Self::InAreas(Areas::default()),
            };
            return self.handle(&first, fds, connection, is_wanted);
        }
        match self {
            Self::Unknown(..) => Ok(Heard::Nothing),
            Self::InAreas(areas) => areas.handle(&mut bytes, fds, connection, is_wanted),
            Self::ByDescriptors(wire) => wire.handle(&mut bytes, fds, connection, is_wanted),
        }
    }

    fn has_no_areas(&self) -> bool {
        matches!(self, Self::ByDescriptors(_))
    }

    fn is_broken(&self) -> bool {
        match self {
            Self::Unknown(..) => false,
            Self::InAreas(areas) => areas.is_broken(),
            Self::ByDescriptors(wire) => wire.is_broken(),
        }
    }
}

const BEGIN: usize = HEADER_SIZE;

/// Why there is no frame.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    #[error("unlocked")]
    Unlocked,
    /// The producer's stream is at its end.
    #[error("the end")]
    End,
    #[error(
        "cannot connect to {path:?}: {source}. Start the producer (shmsink-rs socket-path=...)"
    )]
    Connect { path: PathBuf, source: io::Error },
    #[error(
        "there is no socket at {path:?}, but something else. Choose another socket-path for the producer and this reader"
    )]
    NoSocket { path: PathBuf },
    #[error(
        "the producer at {path:?} is gone without EOS: it has crashed, was killed, or has parted with this reader. Look at its messages"
    )]
    Gone { path: PathBuf },
    #[error("the sink at {path:?} was stopped before the end of its stream")]
    Stopped { path: PathBuf },
    #[error(
        "the producer at {path:?} has closed the connection before the first frame. Look at its messages: it may have max-clients readers, or not \
         allow this user (allow-uids, allow-gids)"
    )]
    Refused { path: PathBuf },
    #[error(
        "the producer at {path:?} breaks the protocol: {violation}. Nothing of it is used; check what listens there"
    )]
    Violation { path: PathBuf, violation: Violation },
    #[error(
        "the producer at {path:?} has taken memory away that it had shared. Nothing more of it is used; check what listens there"
    )]
    Truncated { path: PathBuf },
    #[error(
        "cannot read the shared memory of the producer at {path:?}: {error}. A stock shmsink and its readers need one /dev/shm (docker run --ipc=..., \
         none with Flatpak) and the right to read it (perms); shmsink-rs hands it over with the connection"
    )]
    Map { path: PathBuf, error: MapError },
    #[error(
        "cannot wait for the producer: {0}. Check how many open files this process may have (ulimit -n), and start the reader again"
    )]
    System(#[from] io::Error),
}

impl Stop {
    /// What there is to do about it beside what its text says, where it ends the stream.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Connect { .. } => " first, or wait for it: reconnect=true",
            Self::Gone { .. } => "; reconnect=true waits for it",
            Self::Stopped { .. } => ". reconnect=true waits for the next",
            Self::Refused { .. } => ". reconnect=true tries again",
            _ => "",
        }
    }
}

/// A change that people are to know of.
#[derive(Debug)]
pub(super) enum Notice {
    /// To an area of that name, where there are areas.
    Connected(Option<String>),
    /// It will be tried again, for ever.
    Waiting(Stop),
    Area(String),
}

/// A connection and what was announced on it.
#[derive(Debug)]
struct Link {
    connection: Arc<Connection>,
    wire: Wire,
    /// Something was heard of it.
    heard: bool,
    /// People were told that it is there.
    is_known: bool,
    watches_for_room: bool,
}

/// What one look at the connection has brought.
enum Turn {
    /// Nothing, and nothing will come until the poller says so or the time is over.
    Wait(Option<Duration>),
    Again,
    Told(Notice),
    Skipped,
    Frame(Box<Delivery>),
}

impl Link {
    /// Nothing is to be received. Sends acks that there was no room for, or has the poller watch for room.
    fn idle(&mut self, poller: &Poller) -> Result<Turn, Stop> {
        if self.connection.has_unsent() {
            self.connection.flush();
        }
        let full = self.connection.has_unsent();
        if full != std::mem::replace(&mut self.watches_for_room, full) {
            poller.modify(self.connection.server(), SOCKET, true, full)?;
        }
        Ok(Turn::Wait(None))
    }
}

#[derive(Debug)]
pub(super) struct Session {
    path: PathBuf,
    control: Arc<Control>,
    poller: Poller,
    /// For pauses, in which what comes from the producer wakes nobody.
    waker_only: Poller,
    link: Option<Link>,
    /// The next attempt to connect, and the pause after it.
    attempt: Instant,
    pause: Duration,
    /// Somebody was told that the producer is waited for.
    waits: bool,
    skips: bool,
    /// There may be something to receive. Not after each frame: there seldom is another one, and to be told so costs as much as to wait.
    is_readable: bool,
    /// For what is received. Kept, as to clear so much for each message would cost more than the message.
    room: Box<[u8]>,
}

impl Session {
    pub fn new(path: &Path, control: &Arc<Control>) -> io::Result<Self> {
        let poller = Poller::new()?;
        poller.add(&*control.waker, WAKER)?;
        let waker_only = Poller::new()?;
        waker_only.add(&*control.waker, WAKER)?;
        Ok(Self {
            path: path.to_owned(),
            control: control.clone(),
            poller,
            waker_only,
            link: None,
            attempt: Instant::now(),
            pause: FIRST_PAUSE,
            waits: false,
            skips: false,
            is_readable: false,
            room: vec![0; MOST_AT_A_TIME].into(),
        })
    }

    pub fn connection(&self) -> Option<&Arc<Connection>> {
        self.link.as_ref().map(|link| &link.connection)
    }

    /// The note of a delivery, and how many frames were published since the one before that did not come here.
    pub fn note(&mut self, frame: &Frame) -> Result<(Note<'_>, u64), Stop> {
        let Some(Link {
            wire: Wire::InAreas(areas),
            ..
        }) = &mut self.link
        else {
            return Err(Stop::Unlocked);
        };
        let path = &self.path;
        areas.note(frame).map_err(|violation| Stop::Violation {
            path: path.clone(),
            violation,
        })
    }

    /// How many frames were published between that one and the one before it on this connection.
    pub fn count(&mut self, sequence: u64) -> u64 {
        match &mut self.link {
            Some(Link {
                wire: Wire::ByDescriptors(wire),
                ..
            }) => wire.count(sequence),
            _ => 0,
        }
    }

    /// Waits for the next frame. `reconnects` is asked when it matters; `tell` is told of changes, and `skipped` of frames that were given back.
    pub fn next(
        &mut self,
        reconnects: impl Fn() -> bool,
        mut tell: impl FnMut(Notice),
        mut skipped: impl FnMut(),
    ) -> Result<Delivery, Stop> {
        loop {
            if self.control.unlocked.load(Ordering::SeqCst) {
                return Err(Stop::Unlocked);
            }
            if self.control.paused.load(Ordering::SeqCst) {
                self.waker_only.wait(None)?;
                self.control.waker.acknowledge();
                continue;
            }
            if self.control.stale.swap(false, Ordering::SeqCst) {
                self.skips = true;
                self.is_readable = true;
            }
            let turn = match &mut self.link {
                None => self.connect(),
                Some(_) if self.is_readable => self.receive(),
                Some(link) => link.idle(&self.poller),
            };
            match turn {
                Ok(Turn::Wait(timeout)) => self.wait(timeout)?,
                Ok(Turn::Again) => (),
                Ok(Turn::Told(notice)) => tell(notice),
                Ok(Turn::Skipped) => skipped(),
                Ok(Turn::Frame(delivery)) => return Ok(*delivery),
                Err(stop) => self.stopped(stop, &reconnects, &mut tell)?,
            }
        }
    }

    /// What woke it is acknowledged first, and looked at after that.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        for ready in self.poller.wait(timeout)? {
            match ready.token {
                WAKER => self.control.waker.acknowledge(),
                _ => self.is_readable |= ready.readable,
            }
        }
        Ok(())
    }

    /// Whether that is the end, or the producer is waited for.
    fn stopped(
        &mut self,
        stop: Stop,
        reconnects: &impl Fn() -> bool,
        tell: &mut impl FnMut(Notice),
    ) -> Result<(), Stop> {
        self.disconnect();
        let is_gone = match &stop {
            Stop::Connect { .. }
            | Stop::NoSocket { .. }
            | Stop::Gone { .. }
            | Stop::Stopped { .. }
            | Stop::Refused { .. } => true,
            // A stock sink that has stopped takes the name away that it has just told.
            Stop::Map {
                error: MapError::Open { source, .. },
                ..
            } => source.kind() == io::ErrorKind::NotFound,
            _ => false,
        };
        match stop {
            stop if is_gone && reconnects() => {
                self.attempt = Instant::now() + self.pause;
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                // Once for each time that there is none.
                if !std::mem::replace(&mut self.waits, true) {
                    tell(Notice::Waiting(stop));
                }
                Ok(())
            }
            stop => Err(stop),
        }
    }

    fn connect(&mut self) -> Result<Turn, Stop> {
        let left = self.attempt.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            return Ok(Turn::Wait(Some(left)));
        }
        let failed = |source| {
            let path = self.path.clone();
            match fs::symlink_metadata(&path) {
                Ok(there) if !there.file_type().is_socket() && !there.is_symlink() => {
                    Stop::NoSocket { path }
                }
                _ => Stop::Connect { path, source },
            }
        };
        let connection = Connection::open(&self.path, &self.control.waker).map_err(failed)?;
        self.poller.add(connection.server(), SOCKET)?;
        // What comes over it is new.
        self.skips = false;
        self.is_readable = false;
        self.link = Some(Link {
            connection,
            wire: Wire::Unknown(Vec::new(), Vec::new()),
            heard: false,
            is_known: false,
            watches_for_room: false,
        });
        Ok(Turn::Again)
    }

    /// The end: parts with the producer. If somebody has frames the connection stays, so what has come and was not taken is given back; as far as
    /// that has an end.
    pub fn leave(&mut self) {
        self.skips = true;
        for _ in 0..MOST_UNREAD {
            let is_used = self.connection().is_some_and(|it| it.outstanding() > 0);
            if !is_used
                || !matches!(
                    self.receive(),
                    Ok(Turn::Again | Turn::Told(_) | Turn::Skipped)
                )
            {
                break;
            }
        }
        self.disconnect();
    }

    /// Parts with the producer. Frames that somebody has keep what they need of it.
    fn disconnect(&mut self) {
        if let Some(link) = self.link.take() {
            // Or it would be watched for as long as somebody has a frame.
            let _ = self.poller.remove(link.connection.server());
        }
    }

    /// Reads one message at most.
    fn receive(&mut self) -> Result<Turn, Stop> {
        let Some(link) = &mut self.link else {
            return Ok(Turn::Again);
        };
        let path = &self.path;
        if link.wire.is_broken() {
            return Err(Stop::Truncated { path: path.clone() });
        }
        if link.connection.has_too_many_unsent() {
            return Err(Stop::Violation {
                path: path.clone(),
                violation: Violation::ReadsNoAcks,
            });
        }
        let wanted = link.wire.wanted().min(self.room.len());
        let room = self.room.get_mut(..wanted).unwrap_or_default();
        let (count, fds) = match link.connection.server().recv(room) {
            Received::Gone => return Err(self.gone()),
            Received::Nothing => {
                self.skips = false;
                self.is_readable = false;
                return Ok(Turn::Again);
            }
            Received::Bytes(count, fds) => (count, fds),
        };
        link.heard = true;
        let bytes = self.room.get(..count).unwrap_or_default();
        let is_wanted = !self.skips;
        let heard = link.wire.handle(bytes, fds, &link.connection, is_wanted);
        let heard = heard.map_err(|fault| match fault {
            Fault::Violation(violation) => Stop::Violation {
                path: path.clone(),
                violation,
            },
            Fault::Truncated => Stop::Truncated { path: path.clone() },
            Fault::Map(error) => Stop::Map {
                path: path.clone(),
                error,
            },
        })?;
        if matches!(heard, Heard::Unwanted | Heard::Frame(_)) {
            // Only now: one that talks and goes, again and again, gets no attention.
            self.pause = FIRST_PAUSE;
            self.waits = false;
        }
        Ok(match heard {
            // On a wire without areas this is the first that people can be told.
            Heard::Nothing if link.wire.has_no_areas() && !link.is_known => {
                link.is_known = true;
                Turn::Told(Notice::Connected(None))
            }
            Heard::Nothing => Turn::Again,
            Heard::Area(name) => Turn::Told(match std::mem::replace(&mut link.is_known, true) {
                false => Notice::Connected(Some(name)),
                true => Notice::Area(name),
            }),
            Heard::Unwanted => Turn::Skipped,
            Heard::End => return Err(Stop::End),
            Heard::Frame(delivery) => {
                self.is_readable = false;
                Turn::Frame(Box::new(delivery))
            }
        })
    }

    /// The connection is at its end: what does the newest header say?
    fn gone(&self) -> Stop {
        let path = self.path.clone();
        let Some(link) = &self.link else {
            return Stop::Gone { path };
        };
        let state = match &link.wire {
            Wire::InAreas(areas) => areas.state(),
            Wire::ByDescriptors(wire) if wire.was_stopped() => Some(StreamState::Stopped),
            _ => None,
        };
        match state {
            Some(StreamState::Ended) => Stop::End,
            Some(StreamState::Stopped) => Stop::Stopped { path },
            _ if !link.heard => Stop::Refused { path },
            _ => Stop::Gone { path },
        }
    }
}
