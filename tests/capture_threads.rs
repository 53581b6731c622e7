//! The capture loop with real threads and no GStreamer: a camera, the task that queues requests, a pad's thread for each stream, and an
//! application that flushes and starts anew meanwhile. What loom checks in the small runs here in the large, also under ThreadSanitizer
//! (tests/sanitizers.sh).
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "common/nv12.rs"]
mod nv12;
#[path = "common/watchdog.rs"]
mod watchdog;

use std::{
    cell::Cell,
    sync::{OnceLock, Weak, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use gstlibcamerars::{
    backend::simulated::{Simulated, Spec, plug},
    camera::{
        CameraDevice, CameraError, CameraEvents, CameraSystem, Completion, Controls, Start,
        StreamConfig, StreamRole,
    },
    capture::{
        clock_map::Timing,
        driver::{Action, Driver, Policy},
        loop_state::LoopState,
        outlet::{Interruptible, Outlet, Turn},
        queueing::Queueing,
        stream::Delivery,
        task_gate::{TaskControl, TaskGate},
    },
    os::clock,
    sync::{Arc, Condvar, Mutex},
};
use nv12::frames;
use watchdog::Watchdog;

const STREAMS: usize = 2;
const FRAMES: u32 = 3;

/// GstTask's verbs over a thread of the standard library.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Stopped,
    Started,
    Paused,
}

struct Task {
    state: Mutex<State>,
    changed: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
    body: Mutex<Option<Box<dyn Fn() + Send>>>,
}

impl Task {
    fn set(&self, state: State) {
        *self.state.lock() = state;
        self.changed.notify_all();
    }
}

struct Handle(Arc<Task>);

impl TaskControl for Handle {
    fn start(&self) -> bool {
        self.0.set(State::Started);
        let (task, body) = (self.0.clone(), self.0.body.lock().take().unwrap());
        let thread = thread::spawn(move || {
            loop {
                let mut state = task.state.lock();
                while *state == State::Paused {
                    task.changed.wait(&mut state);
                }
                if *state == State::Stopped {
                    return;
                }
                drop(state);
                body();
            }
        });
        *self.0.thread.lock() = Some(thread);
        true
    }
    fn pause(&self) {
        self.0.set(State::Paused);
    }
    fn resume(&self) {
        let mut state = self.0.state.lock();
        if *state != State::Stopped {
            *state = State::Started;
        }
        drop(state);
        self.0.changed.notify_all();
    }
    fn stop(&self) {
        self.0.set(State::Stopped);
    }
    fn join(&self) {
        self.stop();
        let thread = self.0.thread.lock().take();
        thread.unwrap().join().unwrap();
    }
}

struct Events(Arc<LoopState>);

impl CameraEvents for Events {
    fn completed(&self, completion: Completion) {
        let timing = Timing {
            pipeline: None,
            age: 0,
        };
        self.0.completed(&completion, timing, clock::monotonic());
    }
    fn wants_metadata(&self) -> bool {
        false
    }
    fn reported(&self, _: &mut dyn FnMut(&mut Controls)) {}
    fn failed(&self, error: CameraError) {
        self.0.failed(error);
    }
}

/// A start of the camera.
struct Session {
    state: Arc<LoopState>,
    gate: Arc<TaskGate<Handle>>,
    queueing: Arc<Queueing>,
}

thread_local! {
    /// In pads' threads, which queue requests themselves when a frame has come back.
    static HELPS: Cell<bool> = const { Cell::new(false) };
}

struct PadStream {
    state: Arc<LoopState>,
    index: usize,
}

impl Interruptible for PadStream {
    fn interrupt(&self) {
        self.state.interrupt(self.index);
    }
}

fn started(device: &mut dyn CameraDevice) -> Session {
    let roles = [StreamRole::VideoRecording; STREAMS];
    let wanted: Vec<StreamConfig> = device
        .offer(&roles)
        .unwrap()
        .into_iter()
        .map(|offer| offer.default)
        .collect();
    let agreed = device.configure(&roles, &wanted).unwrap();
    for (index, agreed) in agreed.iter().enumerate() {
        device
            .import_frames(index, &frames(agreed, FRAMES as usize))
            .unwrap();
    }
    let driver = Driver::new(&[FRAMES; STREAMS], Policy::default());
    let start = Start {
        requests: driver.request_count(),
        ..Start::default()
    };
    let task = Arc::new(Task {
        state: Mutex::new(State::Stopped),
        changed: Condvar::new(),
        thread: Mutex::default(),
        body: Mutex::default(),
    });
    let gate = Arc::new(TaskGate::new(Handle(task.clone())));
    let helped: Arc<OnceLock<(Weak<LoopState>, Arc<Queueing>)>> = Arc::default();
    let state = {
        let (gate, helped) = (gate.clone(), helped.clone());
        let wake = move || {
            let parts = helped.get().filter(|_| HELPS.get());
            let parts = parts.and_then(|(state, queueing)| Some((state.upgrade()?, queueing)));
            if !parts.is_some_and(|(state, queueing)| queueing.help(&state)) {
                gate.notify();
            }
        };
        Arc::new(LoopState::new(driver, wake, clock::monotonic))
    };
    let queue = device
        .start(&start, Arc::new(Events(state.clone())))
        .unwrap();
    let queueing = Arc::new(Queueing::new(queue));
    assert!(
        helped
            .set((Arc::downgrade(&state), queueing.clone()))
            .is_ok()
    );
    let (weak_gate, served, queue) = (Arc::downgrade(&gate), state.clone(), queueing.clone());
    *task.body.lock() = Some(Box::new(move || {
        let Some(gate) = weak_gate.upgrade() else {
            return;
        };
        gate.iterate(|| {
            while let (_, Some(news)) = queue.work(&served) {
                assert!(matches!(news, Action::TellOfStarvation(_)), "{news:?}");
            }
        });
    }));
    assert!(gate.open());
    Session {
        state,
        gate,
        queueing,
    }
}

/// Takes frames and gives them back, until it is flushed for good; says how many it had.
fn pad_thread(outlet: &Outlet<PadStream>, wanted: &mpsc::Sender<()>) -> u64 {
    let mut count = 0;
    HELPS.set(true);
    while let Ok(turn) = outlet.next() {
        let Turn::Stream(stream) = turn else { continue };
        match stream.state.next_delivery(stream.index) {
            Ok(Delivery::Frame(captured)) => {
                count += 1;
                stream.state.returned(stream.index, captured.frame);
                let _ = wanted.send(());
            }
            Ok(Delivery::Eos) => panic!("nobody has ended the stream"),
            Err(_) => (),
        }
    }
    count
}

#[test]
fn frames_go_round_while_the_camera_is_started_again_and_again() {
    let _watchdog = Watchdog::new("the capture loop", Duration::from_secs(120));
    plug(Spec {
        id: "simulated-threads".to_owned(),
        streams: STREAMS,
        interval: Duration::ZERO,
        frames: FRAMES,
        padding: 0,
        ..Spec::default()
    });
    let mut device = Simulated.acquire("simulated-threads").unwrap();
    let outlets: [Arc<Outlet<PadStream>>; STREAMS] = Default::default();
    let (sender, taken) = mpsc::channel();
    let pads: Vec<JoinHandle<u64>> = outlets
        .iter()
        .map(|outlet| {
            outlet.set_flushing(false);
            let (outlet, sender) = (outlet.clone(), sender.clone());
            thread::spawn(move || pad_thread(&outlet, &sender))
        })
        .collect();
    let rounds = 30;
    for round in 0..rounds {
        let session = started(&mut *device);
        for (index, outlet) in outlets.iter().enumerate() {
            outlet.set_stream(Some(Arc::new(PadStream {
                state: session.state.clone(),
                index,
            })));
        }
        for frame in 0..200 {
            taken
                .recv_timeout(Duration::from_secs(10))
                .expect("a frame");
            match (frame + round) % 50 {
                10 => outlets[0].set_paused(true),
                20 => outlets[0].set_paused(false),
                30 => outlets[1].nudge(),
                40 => session.state.discard(),
                _ => (),
            }
        }
        outlets[0].set_paused(false);
        outlets.iter().for_each(|outlet| outlet.set_stream(None));
        session.gate.close();
        let queue = session.queueing.close();
        device.stop();
        drop(queue);
        while taken.try_recv().is_ok() {}
    }
    outlets.iter().for_each(|outlet| outlet.set_flushing(true));
    let counts: Vec<u64> = pads.into_iter().map(|pad| pad.join().unwrap()).collect();
    println!("{rounds} starts, frames taken: {counts:?}");
    assert!(counts.iter().sum::<u64>() >= 200 * rounds);
}
