//! What the machine itself takes to wake a thread on another processor, by how long that one has slept: part of every figure that a paced camera has.

use super::say;
use std::{
    hint,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const TIMES: usize = 200;

#[derive(Default)]
struct Shared {
    calls: Mutex<u64>,
    called: Condvar,
    answered: AtomicU64,
}

impl Shared {
    /// Calls the other thread, and waits until it runs.
    fn call(&self) -> Duration {
        let begun = Instant::now();
        let number = {
            let mut calls = self.calls.lock().unwrap();
            *calls += 1;
            *calls
        };
        self.called.notify_one();
        while self.answered.load(Ordering::Acquire) < number {
            hint::spin_loop();
        }
        begun.elapsed()
    }

    fn answer(&self) {
        let mut calls = self.calls.lock().unwrap();
        loop {
            let answered = *calls;
            self.answered.store(answered, Ordering::Release);
            calls = self
                .called
                .wait_while(calls, |calls| *calls == answered)
                .unwrap();
        }
    }
}

pub fn measure() {
    let shared = Arc::new(Shared::default());
    let other = shared.clone();
    keep_to(0);
    thread::spawn(move || {
        keep_to(1);
        other.answer();
    });
    for slept in [100, 1000, 16_000].map(Duration::from_micros) {
        let mut times: Vec<Duration> = (0..TIMES)
            .map(|_| {
                shared.call();
                let until = Instant::now() + slept;
                // This processor is awake when it counts.
                thread::sleep(slept.saturating_sub(Duration::from_micros(500)));
                while Instant::now() < until {
                    hint::spin_loop();
                }
                shared.call()
            })
            .collect();
        times.sort_unstable();
        for (name, share) in [("p50", 0.5), ("p90", 0.9)] {
            let at = times[(TIMES as f64 * share) as usize];
            say(
                &format!("{}us-{name}", slept.as_micros()),
                at.as_secs_f64() * 1e6,
            );
        }
    }
}

/// Only that processor runs this thread from now on.
fn keep_to(processor: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(processor);
    rustix::thread::sched_setaffinity(None, &set).unwrap();
}
