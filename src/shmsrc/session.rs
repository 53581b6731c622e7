//! The streaming thread's work: to be connected, and to take frames from the connection.

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{
    CAT,
    connection::{Connection, Held},
};
use crate::os::mapping::{MapError, Mapping, Object};
use crate::os::poll::Poller;
use crate::os::poll::Waker;
use crate::os::server::Received;
use crate::shm::header::{Header, StreamState};
use crate::shm::layout::{HEADER_SIZE, NOTE_SIZE};
use crate::shm::note::{self, Note};
use crate::shm::reader::{Event, Frame, MAX_AREAS, MAX_MAPPED, Reader, Violation};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Weak};

const WAKER: u64 = 0;
const SOCKET: u64 = 1;

/// How long after a failed attempt to connect comes the next. It doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// A gap that nobody sees, at a cost that nobody notices: an attempt takes some ten microseconds.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// Messages that can be on a socket, and some.
const MOST_UNREAD: usize = 512;

/// What others tell the streaming thread.
#[derive(Debug)]
pub(super) struct Control {
    pub waker: Arc<Waker>,
    unlocked: AtomicBool,
    paused: AtomicBool,
    /// What has come until now is stale.
    stale: AtomicBool,
}

impl Control {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            waker: Arc::new(Waker::new()?),
            unlocked: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            stale: AtomicBool::new(false),
        })
    }

    /// Ends the waiting of the streaming thread, now and until it is called with `false`.
    pub fn set_unlocked(&self, unlocked: bool) {
        self.unlocked.store(unlocked, Ordering::SeqCst);
        self.waker.wake();
    }

    /// Nothing is received in a pause; what has come by its end is given back.
    pub fn set_paused(&self, paused: bool) {
        if !paused {
            self.stale.store(true, Ordering::SeqCst);
        }
        self.paused.store(paused, Ordering::SeqCst);
        self.waker.wake();
    }
}

/// A frame to push.
#[derive(Debug)]
pub(super) struct Delivery {
    pub frame: Frame,
    pub memory: Held,
    /// In [`Session::note`] lies its note.
    pub has_note: bool,
}

/// Why there is no frame.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    #[error("unlocked")]
    Unlocked,
    /// The producer's stream is at its end.
    #[error("the end")]
    End,
    #[error(
        "cannot connect to {path:?}: {source}. Start the producer (shmsink-rs socket-path=...) first, or wait for it: reconnect=true"
    )]
    Connect { path: PathBuf, source: io::Error },
    #[error(
        "the producer at {path:?} is gone without EOS: it has crashed, was killed, or has parted with this reader. Look at its messages; \
         reconnect=true waits for it"
    )]
    Gone { path: PathBuf },
    #[error(
        "the sink at {path:?} was stopped before the end of its stream. reconnect=true waits for the next"
    )]
    Stopped { path: PathBuf },
    #[error(
        "the producer at {path:?} has closed the connection before the first frame. Look at its messages: it may have max-clients readers, or not \
         allow this user (allow-uids, allow-gids). reconnect=true tries again"
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
    #[error("cannot wait for the producer: {0}")]
    System(#[from] io::Error),
}

/// A change that people are to know of.
#[derive(Debug)]
pub(super) enum Notice {
    /// To an area of that name.
    Connected(String),
    /// It will be tried again, for ever.
    Waiting(Stop),
    Area(String),
}

/// Words of a note that are copied at once: all of most notes.
const MOST_OF_A_NOTE: usize = 64;

/// The note of the last frame, out of the producer's reach.
#[derive(Debug, Default)]
struct NoteCopy {
    words: Vec<u64>,
    bytes: Vec<u8>,
}

impl NoteCopy {
    /// False when there is no memory any more.
    fn read(&mut self, area: &Mapping, at: u64) -> bool {
        let whole = NOTE_SIZE as usize / size_of::<u64>();
        for count in [MOST_OF_A_NOTE, whole] {
            self.words.resize(count, 0);
            if area.copy_out(at, &mut self.words).is_none() {
                return false;
            }
            self.bytes.clear();
            let bytes = self.words.iter().map(|word| word.to_ne_bytes());
            self.bytes.extend(bytes.flatten());
            if note::length_of(&self.bytes) <= self.bytes.len() {
                break;
            }
        }
        true
    }
}

/// A connection and what was announced on it.
#[derive(Debug)]
struct Link {
    connection: Arc<Connection>,
    reader: Reader,
    /// By generation, in the order of their announcement.
    areas: Vec<(u32, Arc<Mapping>)>,
    /// What came along with the message that is not whole yet.
    fd: Option<OwnedFd>,
    /// Something was heard of it.
    heard: bool,
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

    /// Maps an area that was announced: what came along with the announcement, or what has that name.
    fn map(&mut self, generation: u32, length: u64, name: &str) -> Result<Weak<Mapping>, MapError> {
        let object = match self.fd.take() {
            Some(fd) => Object::received(fd)?,
            None => Object::open(name)?,
        };
        let area = object.map(length)?;
        self.reader.handle_area(generation, header_of(&area));
        let mapped = Arc::downgrade(&area);
        self.areas.push((generation, area));
        Ok(mapped)
    }
}

/// Whether another area of that length can be mapped.
fn check_room(mapped: &mut Vec<Weak<Mapping>>, length: u64) -> Result<(), Violation> {
    let mut all = length;
    mapped.retain(|area| {
        let area = area.upgrade();
        all = all.saturating_add(area.as_ref().map_or(0, |area| area.length()));
        area.is_some()
    });
    if mapped.len() >= MAX_AREAS {
        return Err(Violation::TooManyAreas);
    }
    if all > MAX_MAPPED {
        return Err(Violation::TooLargeAreas);
    }
    Ok(())
}

/// The header behind an area; `None` where a stock sink has made it.
fn header_of(area: &Mapping) -> Option<Header> {
    let mut bytes = [0; HEADER_SIZE as usize];
    let read = area.object().read_at(0, &mut bytes).ok()?;
    Header::decode(bytes.get(..read)?)
}

#[derive(Debug)]
pub(super) struct Session {
    path: PathBuf,
    control: Arc<Control>,
    poller: Poller,
    /// For pauses, in which what comes from the producer wakes nobody.
    waker_only: Poller,
    link: Option<Link>,
    /// All that may be mapped: of this connection, and of frames that somebody still has.
    mapped: Vec<Weak<Mapping>>,
    /// The next attempt to connect, and the pause after it.
    attempt: Instant,
    pause: Duration,
    /// Somebody was told that the producer is waited for.
    waits: bool,
    skips: bool,
    /// There may be something to receive. Not after each frame: there seldom is another one, and to be told so costs as much as to wait.
    is_readable: bool,
    note: NoteCopy,
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
            mapped: Vec::new(),
            attempt: Instant::now(),
            pause: FIRST_PAUSE,
            waits: false,
            skips: false,
            is_readable: false,
            note: NoteCopy::default(),
        })
    }

    pub fn connection(&self) -> Option<&Arc<Connection>> {
        self.link.as_ref().map(|link| &link.connection)
    }

    /// The note of a delivery, and how many frames were published since the one before that did not come here.
    pub fn note(&mut self, frame: &Frame) -> Result<(Note<'_>, u64), Stop> {
        let link = self.link.as_mut().ok_or(Stop::Unlocked)?;
        let path = &self.path;
        link.reader
            .handle_note(frame, &self.note.bytes)
            .map_err(|violation| Stop::Violation {
                path: path.clone(),
                violation,
            })
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
        let failed = |source| Stop::Connect {
            path: self.path.clone(),
            source,
        };
        let connection = Connection::open(&self.path, &self.control.waker).map_err(failed)?;
        self.poller.add(connection.server(), SOCKET)?;
        // What comes over it is new.
        self.skips = false;
        self.is_readable = false;
        self.link = Some(Link {
            connection,
            reader: Reader::default(),
            areas: Vec::new(),
            fd: None,
            heard: false,
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
        if link.areas.iter().any(|(_, area)| area.is_broken()) {
            return Err(Stop::Truncated {
                path: self.path.clone(),
            });
        }
        if link.connection.has_too_many_unsent() {
            return Err(Stop::Violation {
                path: self.path.clone(),
                violation: Violation::ReadsNoAcks,
            });
        }
        let mut buffer = [0; 512];
        let wanted = link.reader.wanted().min(buffer.len());
        let room = buffer.get_mut(..wanted).unwrap_or_default();
        let (count, fd) = match link.connection.server().recv(room) {
            Received::Gone => return Err(self.gone()),
            Received::Nothing => {
                self.skips = false;
                self.is_readable = false;
                return Ok(Turn::Again);
            }
            Received::Bytes(count, fd) => (count, fd),
        };
        link.heard = true;
        // It comes with the first byte of the message that it belongs to, which may not be whole yet.
        if fd.is_some() {
            link.fd = fd;
        }
        let mut bytes = buffer.get(..count).unwrap_or_default();
        let event = link
            .reader
            .handle_bytes(&mut bytes)
            .map_err(|violation| Stop::Violation {
                path: self.path.clone(),
                violation,
            })?;
        match event {
            None => Ok(Turn::Again),
            Some(Event::Area {
                generation,
                length,
                name,
            }) => {
                let is_first = link.areas.is_empty();
                check_room(&mut self.mapped, length).map_err(|violation| Stop::Violation {
                    path: self.path.clone(),
                    violation,
                })?;
                let area = link
                    .map(generation, length, &name)
                    .map_err(|error| Stop::Map {
                        path: self.path.clone(),
                        error,
                    })?;
                self.mapped.push(area);
                gst::info!(CAT, "Area {generation}: {name}, {length} bytes");
                Ok(Turn::Told(if is_first {
                    Notice::Connected(name)
                } else {
                    Notice::Area(name)
                }))
            }
            Some(Event::Closed { generation }) => {
                link.areas.retain(|(known, _)| *known != generation);
                Ok(Turn::Again)
            }
            Some(Event::Frame(frame)) => self.frame(frame),
        }
    }

    fn frame(&mut self, frame: Frame) -> Result<Turn, Stop> {
        let Some(link) = &mut self.link else {
            return Ok(Turn::Again);
        };
        gst::log!(
            CAT,
            "Frame at {} of area {}",
            frame.offset,
            frame.generation
        );
        // Only now: one that talks and goes, again and again, gets no attention.
        self.pause = FIRST_PAUSE;
        self.waits = false;
        // Neither a stale frame nor one without a byte is of use to anybody.
        if self.skips || frame.size == 0 {
            link.connection.ack(frame.generation, frame.offset);
            return Ok(Turn::Skipped);
        }
        let mut areas = link.areas.iter();
        let area = areas.find(|(generation, _)| *generation == frame.generation);
        // The reader has checked both.
        let part = area.and_then(|(_, area)| Some((area, area.part(frame.offset, frame.size)?)));
        let Some((area, part)) = part else {
            return Ok(Turn::Again);
        };
        let memory = Held::new(&link.connection, part, frame.generation, frame.offset);
        if let Some(at) = frame.note_at
            && !self.note.read(area, at)
        {
            return Err(Stop::Truncated {
                path: self.path.clone(),
            });
        }
        self.is_readable = false;
        Ok(Turn::Frame(Box::new(Delivery {
            has_note: frame.note_at.is_some(),
            frame,
            memory,
        })))
    }

    /// The connection is at its end: what does the newest header say?
    fn gone(&self) -> Stop {
        let path = self.path.clone();
        let Some(link) = &self.link else {
            return Stop::Gone { path };
        };
        match link.areas.last().and_then(|(_, area)| header_of(area)) {
            Some(header) if header.state == StreamState::Ended => Stop::End,
            Some(header) if header.state == StreamState::Stopped => Stop::Stopped { path },
            _ if !link.heard => Stop::Refused { path },
            _ => Stop::Gone { path },
        }
    }
}
