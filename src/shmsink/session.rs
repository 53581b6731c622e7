//! One run of the sink, from READY to NULL: the control thread and what it shares with the streaming thread.

use std::{
    panic::{self, AssertUnwindSafe},
    path::Path,
    thread::{self, JoinHandle},
};

use glib::prelude::*;

use super::{
    CAT, ShmSink,
    control::{Control, Event},
    handover::Handover,
    settings::Settings,
    shared::Shared,
};
use crate::os::area;
use crate::os::listener::ListenError;
use crate::os::listener::Listener;
use crate::sync::Arc;

#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("cannot start the server: {0}")]
    System(#[from] std::io::Error),
}

#[derive(Debug)]
pub(super) struct Session {
    shared: Arc<Shared>,
    handover: Arc<Handover<Control>>,
    thread: JoinHandle<()>,
}

impl Session {
    pub fn start(element: &ShmSink, settings: &Settings) -> Result<Self, StartError> {
        let path = settings.socket_path.as_deref().unwrap_or_default();
        let shared = Arc::new(Shared::new(settings.limits())?);
        let listener = Listener::bind(Path::new(path), settings.perms)?;
        area::remove_abandoned();
        let control = Control::new(shared.clone(), listener)?;
        let handover = Arc::new(Handover::new());
        let thread = {
            let handover = handover.clone();
            let element = element.downgrade();
            thread::Builder::new()
                .name("shm server".to_owned())
                .spawn(move || serve(control, &handover, &element))?
        };
        gst::info!(CAT, obj = element, "Listening at {path}");
        Ok(Self {
            shared,
            handover,
            thread,
        })
    }

    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Closes every connection, removes the socket and ends the thread. Waits for no client and no signal handler, and may be called from a
    /// signal handler on any thread.
    pub fn stop(self, element: &ShmSink) {
        self.handover.request_stop();
        self.shared.waker().wake();
        let taken = self.handover.take();
        let events = taken.thing.map(Control::shut_down).unwrap_or_default();
        // It may itself be here, when it posts its error to a handler that stops the element.
        let is_own = self.thread.thread().id() == thread::current().id();
        if taken.joinable && !is_own && self.thread.join().is_err() {
            gst::error!(CAT, obj = element, "The server's thread panicked");
        }
        emit(element, events, || true);
    }
}

/// The control thread.
fn serve(control: Control, handover: &Handover<Control>, element: &glib::WeakRef<ShmSink>) {
    let served = panic::catch_unwind(AssertUnwindSafe(|| {
        serve_until_stop(control, handover, element)
    }));
    let fault = match served {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => {
            handover.lose();
            "it panicked".to_owned()
        }
    };
    if let Some(element) = element.upgrade() {
        gst::element_error!(
            element,
            gst::ResourceError::Failed,
            ("The server of shmsink-rs ended: {fault}. Restart the pipeline, and please report this")
        );
    }
}

fn serve_until_stop(
    mut control: Control,
    handover: &Handover<Control>,
    element: &glib::WeakRef<ShmSink>,
) -> std::io::Result<()> {
    loop {
        if handover.stop_requested() {
            handover.leave(control);
            return Ok(());
        }
        let events = match control.turn() {
            Ok(events) => events,
            Err(error) => {
                handover.leave(control);
                return Err(error);
            }
        };
        if events.is_empty() {
            continue;
        }
        let Some(element) = element.upgrade() else {
            continue;
        };
        handover.park(control);
        emit(&element, events, || handover.is_parked());
        // May be the last reference, so while parked.
        drop(element);
        match handover.unpark() {
            Some(back) => control = back,
            None => return Ok(()),
        }
    }
}

/// Tells the application, with no lock held. Once the server was stopped nobody connects any more.
fn emit(element: &ShmSink, events: Vec<Event>, serving: impl Fn() -> bool) {
    if events.is_empty() {
        return;
    }
    for event in events {
        match event {
            Event::Connected(fd) if serving() => {
                element.emit_by_name::<()>("client-connected", &[&fd]);
            }
            Event::Connected(_) => (),
            Event::Disconnected(peer) => {
                element.emit_by_name::<()>("client-disconnected", &[&peer.fd()]);
            }
        }
    }
    element.notify("num-clients");
}
