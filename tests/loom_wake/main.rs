//! The wake protocol, model-checked: every interleaving of a few threads, up to a bound of preemptions.
//!
//! What is checked is what ships: `capture::task_gate` and `capture::loop_state`, over a model of GstTask. Beside each right shape stand the wrong
//! ones that were once found in the wild; each of them must fail, or the checker sees nothing.
//!
//!     RUSTFLAGS="--cfg loom" cargo test --release --no-default-features --test loom_wake
#![cfg(loom)]
#![allow(clippy::unwrap_used)]

mod delivery;
mod gate;
mod notify;
mod outlet;
mod queueing;
mod stills;
mod task;

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::AtomicUsize},
};

use gstlibcamerars::sync::Mutex;

/// Runs `model` in every interleaving, and prints how many there were: a check of one is no check.
fn check(name: &str, model: impl Fn() + Sync + Send + 'static) {
    let executions = Arc::new(AtomicUsize::new(0));
    let counted = executions.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(3);
    let bound = builder.preemption_bound;
    builder.check(move || {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        model();
    });
    let executions = executions.load(std::sync::atomic::Ordering::Relaxed);
    println!("loom: {name}: {executions} executions, preemptions <= {bound:?}");
    assert!(executions > 1);
}

/// Work for a task: items that producers add.
#[derive(Default)]
struct Work(Mutex<VecDeque<u32>>);

impl Work {
    fn add(&self, item: u32) {
        self.0.lock().push_back(item);
    }
    fn take(&self) -> Option<u32> {
        self.0.lock().pop_front()
    }
    fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }
}
