//! One run of the sink, from READY to NULL: the control thread and what it shares with the streaming thread.

use std::{
    panic::{self, AssertUnwindSafe},
    path::Path,
    thread::{self, JoinHandle},
};

use super::{
    CAT, Leaky, ShmSink, Transport,
    control::Control,
    fd::table::Table,
    notifier::{Event, Notifier},
    settings::{BadList, Settings},
    shared::Shared,
};
use crate::os::area;
use crate::os::listener::ListenError;
use crate::os::listener::Listener;
use crate::shm::header::StreamState;
use crate::shm::server::Server;
use crate::sync::Arc;

#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Allowed(#[from] BadList),
    #[error(
        "cannot start the server: {0}. Check how many open files and threads this process may have (ulimit -n, ulimit -u)"
    )]
    System(#[from] std::io::Error),
}

#[derive(Debug)]
pub(super) struct Session {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

impl Session {
    pub fn start(element: &ShmSink, settings: &Settings) -> Result<Self, StartError> {
        let path = settings.socket_path.as_deref().unwrap_or_default();
        let allowed = settings.allowed()?;
        let mut server = Server::new(settings.limits());
        if settings.transport == Transport::Fd {
            server.set_areas_free();
        }
        server.set_mailbox(settings.leaky == Leaky::Mailbox);
        server.set_timeouts(settings.timeouts());
        let shared = Arc::new(Shared::new(server, settings.table())?);
        let listener = Listener::bind(Path::new(path), settings.perms)?;
        area::remove_abandoned();
        let notifier = Notifier::start(element)?;
        let control = Control::new(shared.clone(), listener, allowed, notifier.clone())?;
        let thread = thread::Builder::new()
            .name("shm server".to_owned())
            .spawn(move || serve(control, &notifier))?;
        gst::info!(CAT, obj = element, "Listening at {path}");
        Ok(Self { shared, thread })
    }

    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Closes every connection, removes the socket and ends the control thread, which waits for nobody. May be called from a signal handler:
    /// those run on a thread that this does not join.
    pub fn stop(self, element: &ShmSink, has_ended: bool) {
        self.shared.tell_state(match has_ended {
            true => StreamState::Ended,
            false => StreamState::Stopped,
        });
        self.shared.stop();
        if self.thread.join().is_err() {
            gst::error!(CAT, obj = element, "The server's thread panicked");
        }
        let (areas, frames) = {
            let mut state = self.shared.lock();
            let frames = state.table.as_mut().map(Table::take_all);
            (std::mem::take(&mut state.areas), frames)
        };
        // Upstream's go back to it.
        drop(frames);
        area::remove(areas.into_values());
        self.shared.close_kept();
    }
}

/// The control thread.
fn serve(control: Control, notifier: &Notifier) {
    let fault = match panic::catch_unwind(AssertUnwindSafe(|| control.serve())) {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it panicked".to_owned(),
    };
    // Not from here: a handler of the bus may stop the element, which waits for this thread.
    notifier.notify(Event::Failed(fault));
}
