//! The task's gate loses no wake-up, and can be closed at any moment.

use std::sync::Arc;

use gstlibcamerars::{
    capture::task_gate::{TaskControl, TaskGate},
    sync::atomic::AtomicBool,
};
use loom::{sync::atomic::Ordering, thread};

use super::{
    Work, check,
    task::{Handle, ModelTask},
};

/// One producer, one item. The task ends itself when it has it: a lost wake-up leaves it asleep for ever, which loom calls a deadlock.
fn one_item(body: fn(&Handle, &Work)) {
    let task = ModelTask::new();
    let work = Arc::new(Work::default());
    let runner = {
        let (task, work) = (task.clone(), work.clone());
        thread::spawn(move || task.run(|| body(&Handle(task.clone()), &work)))
    };
    work.add(1);
    Handle(task).resume();
    runner.join().unwrap();
}

#[test]
#[should_panic(expected = "deadlock")]
fn check_then_pause_loses_a_wakeup() {
    check("check, then pause", || {
        one_item(|task, work| {
            if work.take().is_some() {
                return task.stop();
            }
            task.pause();
        });
    });
}

#[test]
fn pause_first_loses_no_wakeup() {
    check("pause first", || {
        one_item(|task, work| {
            task.pause();
            if work.take().is_some() {
                task.stop();
            }
        });
    });
}

#[test]
fn the_gate_loses_no_wakeup() {
    check("the gate, two producers", || {
        let task = ModelTask::new();
        let gate = Arc::new(TaskGate::new(Handle(task.clone())));
        assert!(gate.open());
        let work = Arc::new(Work::default());
        let runner = {
            let (gate, work) = (gate.clone(), work.clone());
            let taken = std::cell::Cell::new(0);
            thread::spawn(move || {
                task.run(|| {
                    gate.iterate(|| {
                        while work.take().is_some() {
                            taken.set(taken.get() + 1);
                        }
                        if taken.get() == 2 {
                            Handle(task.clone()).stop();
                        }
                    });
                });
            })
        };
        let producer = {
            let (gate, work) = (gate.clone(), work.clone());
            thread::spawn(move || {
                work.add(1);
                gate.notify();
            })
        };
        work.add(2);
        gate.notify();
        producer.join().unwrap();
        runner.join().unwrap();
    });
}

/// A task that has nothing to do, one wake-up, and a close in another thread.
fn closed_at_any_moment(body: fn(&Handle, &AtomicBool), close: fn(&Handle, &AtomicBool)) {
    let task = ModelTask::new();
    let closing = Arc::new(AtomicBool::new(false));
    let runner = {
        let (task, closing) = (task.clone(), closing.clone());
        thread::spawn(move || task.run(|| body(&Handle(task.clone()), &closing)))
    };
    let notifier = {
        let task = task.clone();
        thread::spawn(move || Handle(task).resume())
    };
    close(&Handle(task), &closing);
    notifier.join().unwrap();
    runner.join().unwrap();
}

#[test]
#[should_panic(expected = "deadlock")]
fn pause_first_hangs_in_join() {
    check("pause first, join", || {
        closed_at_any_moment(|task, _| task.pause(), |task, _| task.join());
    });
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_flag_read_before_the_pause_hangs_in_join() {
    check("flag, then pause", || {
        closed_at_any_moment(
            |task, closing| {
                if closing.load(Ordering::Relaxed) {
                    return task.stop();
                }
                task.pause();
            },
            |task, closing| {
                closing.store(true, Ordering::Relaxed);
                task.join();
            },
        );
    });
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_flag_stored_after_the_join_began_hangs() {
    check("join, then flag", || {
        closed_at_any_moment(
            |task, closing| {
                task.pause();
                if closing.load(Ordering::Relaxed) {
                    task.stop();
                }
            },
            |task, closing| {
                task.join();
                closing.store(true, Ordering::Relaxed);
            },
        );
    });
}

#[test]
fn the_gate_can_be_closed_at_any_moment() {
    check("the gate, closed at any moment", || {
        let task = ModelTask::new();
        let gate = Arc::new(TaskGate::new(Handle(task.clone())));
        assert!(gate.open());
        let runner = {
            let gate = gate.clone();
            thread::spawn(move || task.run(|| gate.iterate(|| ())))
        };
        let notifier = {
            let gate = gate.clone();
            thread::spawn(move || gate.notify())
        };
        gate.close();
        notifier.join().unwrap();
        runner.join().unwrap();
    });
}
