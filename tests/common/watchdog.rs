//! Ends the process when a test hangs, and says which.

use std::{
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread,
    time::Duration,
};

/// Dropped in time, it does nothing.
pub struct Watchdog(#[allow(dead_code)] Sender<()>);

impl Watchdog {
    pub fn new(what: &str, limit: Duration) -> Self {
        let what = what.to_owned();
        let (alive, watched) = mpsc::channel::<()>();
        thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(move || {
                if watched.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                    eprintln!("WATCHDOG: {what} took more than {limit:?}");
                    std::process::abort();
                }
            })
            .unwrap();
        Self(alive)
    }
}
