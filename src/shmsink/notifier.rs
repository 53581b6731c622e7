//! Tells the application what happens, on a thread of its own, so that no handler keeps a client waiting.
//!
//! The thread ends when everybody who could give it an event has gone and it has told them all. Nobody joins it: a handler may take as long as
//! it likes, and may itself be what stops the element.

use std::{io, thread};

use glib::prelude::*;
use gst::prelude::*;

use super::ShmSink;
use crate::os::peer::Peer;
use crate::shm::client::Facts;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::mpsc::{self, Receiver, Sender};

/// What happened to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Connected,
    Stalled,
    Resumed,
    Evicted,
    Disconnected,
}

/// What the application is to be told.
#[derive(Debug)]
pub(super) enum Event {
    /// The socket is closed when everybody has dropped it, so that its number means nobody else while it is being told.
    Client(Change, Arc<Peer>, Facts),
    /// The server ended, for this reason.
    Failed(String),
}

/// Takes events, which are told in that order.
#[derive(Debug, Clone)]
pub(super) struct Notifier {
    events: Sender<Event>,
    untold: Arc<AtomicUsize>,
}

impl Notifier {
    pub fn start(element: &ShmSink) -> io::Result<Self> {
        let (events, to_tell) = mpsc::channel();
        let untold = Arc::new(AtomicUsize::new(0));
        let told = untold.clone();
        let element = element.downgrade();
        thread::Builder::new()
            .name("shm signals".to_owned())
            .spawn(move || tell(&to_tell, &told, &element))?;
        Ok(Self { events, untold })
    }

    /// Never waits.
    pub fn notify(&self, event: Event) {
        self.untold.fetch_add(1, Ordering::Relaxed);
        // The thread ends after the last sender, unless a handler panicked.
        let _ = self.events.send(event);
    }

    /// Events that wait for a handler.
    pub fn untold(&self) -> usize {
        self.untold.load(Ordering::Relaxed)
    }
}

fn tell(events: &Receiver<Event>, untold: &AtomicUsize, element: &glib::WeakRef<ShmSink>) {
    for event in events {
        untold.fetch_sub(1, Ordering::Relaxed);
        let Some(element) = element.upgrade() else {
            continue;
        };
        match event {
            Event::Client(change, peer, facts) => {
                tell_of_client(&element, change, peer.fd(), &facts);
            }
            Event::Failed(fault) => gst::element_error!(
                element,
                gst::ResourceError::Failed,
                ("The server of shmsink-rs ended: {fault}. Restart the pipeline, and please report this")
            ),
        }
    }
}

fn tell_of_client(element: &ShmSink, change: Change, fd: i32, facts: &Facts) {
    let word = match change {
        Change::Connected => "connected",
        Change::Stalled => "stalled",
        Change::Resumed => "resumed",
        Change::Evicted => "evicted",
        Change::Disconnected => "disconnected",
    };
    element.emit_by_name::<()>(&format!("client-{word}"), &[&fd]);
    if matches!(change, Change::Connected | Change::Disconnected) {
        element.notify("num-clients");
    }
    let structure = gst::Structure::builder("shmsink-rs-client")
        .field("change", word)
        .field("fd", fd)
        .field("pid", facts.pid)
        .field("uid", facts.uid)
        .field("program", &facts.program)
        .build();
    let message = gst::message::Element::builder(structure)
        .src(element)
        .build();
    // Without a bus there is nobody to tell.
    let _ = element.post_message(message);
}
