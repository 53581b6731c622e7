//! The pure server and the wire: golden bytes, every cut of a message, hostile acks, and random histories against a model.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod copy;
mod histories;
mod layout;
mod server;
mod wire;

use std::time::Duration;

use gstlibcamerars::shm::{
    layout::{Layout, Limits},
    server::Server,
};

const NOW: Duration = Duration::from_secs(1);

fn limits(window: usize, max_clients: usize) -> Limits {
    Limits {
        window,
        max_clients,
        area_size: None,
        upstream: 0,
    }
}

/// An area with memory behind as few slots as there may be.
fn lean_area(server: &mut Server, size: u64) -> Layout {
    let layout = server.plan_area(size).unwrap();
    let slots = server.slots_at_first(&layout);
    server.handle_area(layout, "/area", slots);
    layout
}
