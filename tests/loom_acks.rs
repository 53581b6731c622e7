//! Model check of acks that meet a full socket: `RUSTFLAGS="--cfg loom" cargo test --release --no-default-features --test loom_acks`.
//!
//! Two threads drop a frame each. The socket has no room at first; the producer reads it empty at some moment. The streaming thread looks, and then sleeps
//! until it is woken or, if it watches for that, there is room. Whatever the order is: both acks arrive, each once, and the streaming thread does not
//! sleep for good before they have.

#![cfg(loom)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use gstlibcamerars::shm::unsent::{Sent, Unsent};
use gstlibcamerars::sync::{Arc, Mutex};

#[derive(Default)]
struct World {
    /// The eventfd.
    woken: bool,
    has_room: bool,
    /// The streaming thread asks to be told of room.
    watches: bool,
    arrived: Vec<usize>,
}

struct Model {
    world: Mutex<World>,
    unsent: Unsent<usize>,
}

impl Model {
    fn send(&self, ack: usize) -> Sent {
        let mut world = self.world.lock();
        if !world.has_room {
            return Sent::Full;
        }
        world.arrived.push(ack);
        Sent::Whole
    }

    fn flush(&self) {
        let wake = || self.world.lock().woken = true;
        self.unsent.flush(|ack| self.send(*ack), wake);
    }

    fn drop_frame(&self, ack: usize) {
        self.unsent.push(ack);
        self.flush();
    }

    /// The streaming thread's round, up to where it sleeps. False when it would not have been woken for it.
    fn round(&self, look: impl Fn(&Self) -> bool) -> bool {
        let mut world = self.world.lock();
        let is_awake = world.woken || (world.watches && world.has_room);
        if is_awake {
            world.woken = false;
            drop(world);
            let watches = look(self);
            self.world.lock().watches = watches;
        }
        is_awake
    }
}

/// `look` is what the streaming thread does before it sleeps; it says whether to watch for room.
fn check(look: impl Fn(&Model) -> bool + Send + Sync + Copy + 'static) {
    let mut builder = loom::model::Builder::new();
    // A lost wake-up needs one interruption at the wrong place.
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let model = Arc::new(Model {
            world: Mutex::new(World::default()),
            unsent: Unsent::default(),
        });
        let start = |work: fn(&Model)| {
            let model = model.clone();
            loom::thread::spawn(move || work(&model))
        };
        let dropper = start(|model| model.drop_frame(0));
        let streaming = {
            let model = model.clone();
            loom::thread::spawn(move || {
                for _ in 0..2 {
                    model.round(look);
                }
            })
        };
        model.drop_frame(1);
        // The producer reads.
        model.world.lock().has_room = true;
        dropper.join().unwrap();
        streaming.join().unwrap();
        while !model.unsent.is_empty() {
            assert!(model.round(look), "asleep for good");
        }
        let mut arrived = model.world.lock().arrived.clone();
        arrived.sort_unstable();
        assert_eq!(arrived, [0, 1]);
    });
}

#[test]
fn every_ack_arrives_once() {
    check(|model| {
        model.flush();
        !model.unsent.is_empty()
    });
}

#[test]
#[should_panic(expected = "asleep for good")]
fn who_does_not_watch_for_room_sleeps_for_good() {
    check(|_| false);
}

/// It looks, and an ack is put back before it sleeps.
#[test]
#[should_panic(expected = "asleep for good")]
fn who_looks_before_he_acknowledges_sleeps_for_good() {
    check(|model| {
        model.flush();
        let watches = !model.unsent.is_empty();
        model.world.lock().woken = false;
        watches
    });
}
