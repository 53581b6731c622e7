//! Who notifies the task, and when; and which lock is not held then.

use std::sync::Arc;

use gstlibcamerars::{capture::task_gate::TaskControl, sync::Mutex};
use loom::thread;

use super::{
    Work, check,
    task::{Handle, ModelTask},
};

/// Two frames come back. The consumer needs both in one round, and takes nothing as long as only one is there.
fn two_frames(give_back: fn(&Handle, &Work, u32)) {
    let task = ModelTask::new();
    let free = Arc::new(Work::default());
    let runner = {
        let (task, free) = (task.clone(), free.clone());
        thread::spawn(move || {
            task.run(|| {
                let handle = Handle(task.clone());
                handle.pause();
                if free.0.lock().len() == 2 {
                    handle.stop();
                }
            });
        })
    };
    let other = {
        let (task, free) = (task.clone(), free.clone());
        thread::spawn(move || give_back(&Handle(task), &free, 1))
    };
    give_back(&Handle(task), &free, 2);
    other.join().unwrap();
    runner.join().unwrap();
}

#[test]
#[should_panic(expected = "deadlock")]
fn notifying_only_when_the_queue_was_empty_loses_a_wakeup() {
    check("notify on empty only", || {
        two_frames(|task, free, frame| {
            let was_empty = free.is_empty();
            free.add(frame);
            if was_empty {
                task.resume();
            }
        });
    });
}

#[test]
fn notifying_for_every_frame_is_enough() {
    check("notify for every frame", || {
        two_frames(|task, free, frame| {
            free.add(frame);
            task.resume();
        });
    });
}

/// Two streams, of which one has no frame: what was taken for the other is given back.
fn starved(notify_on_rollback: bool) {
    let task = ModelTask::new();
    let frames = Arc::new(Work::default());
    frames.add(1);
    let runner = {
        let (task, frames) = (task.clone(), frames.clone());
        thread::spawn(move || {
            task.run(|| {
                let handle = Handle(task.clone());
                handle.pause();
                if let Some(frame) = frames.take() {
                    frames.add(frame);
                    if notify_on_rollback {
                        handle.resume();
                    }
                }
            });
        })
    };
    Handle(task).join();
    runner.join().unwrap();
}

/// It looks again and again, for ever: loom gives up after so many branches.
#[test]
#[should_panic(expected = "maximum number of branches")]
fn a_rollback_that_notifies_spins() {
    check("rollback that notifies", || starved(true));
}

/// A lock that is held while a request is queued, and that the completion takes under a lock of the camera's.
fn queue_against_completion(held: bool) {
    let ours = Arc::new(Mutex::new(()));
    let cameras = Arc::new(Mutex::new(()));
    let camera = {
        let (ours, cameras) = (ours.clone(), cameras.clone());
        thread::spawn(move || {
            let _camera = cameras.lock();
            let _ours = ours.lock();
        })
    };
    let guard = ours.lock();
    let guard = held.then_some(guard);
    drop(cameras.lock());
    drop(guard);
    camera.join().unwrap();
}

#[test]
#[should_panic(expected = "deadlock")]
fn our_lock_across_the_queueing_of_a_request_deadlocks() {
    check("a lock held across queue_request", || {
        queue_against_completion(true)
    });
}

#[test]
fn our_lock_left_before_the_queueing_of_a_request_is_fine() {
    check("a lock left before queue_request", || {
        queue_against_completion(false)
    });
}
