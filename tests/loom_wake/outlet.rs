//! What a pad's thread waits at: a flush, a nudge, another stream and a new peer reach it whenever they come.

use std::sync::Arc;

use gstlibcamerars::{
    capture::{
        driver::{Driver, Policy},
        loop_state::LoopState,
        outlet::{Interruptible, Outlet, Turn},
        task_gate::TaskControl,
    },
    sync::{Condvar, Mutex, atomic::AtomicBool},
};
use loom::{sync::atomic::Ordering, thread};

use super::{
    check,
    task::{Handle, ModelTask, State},
};

/// A stream of a loop state, as a pad has it.
struct PadStream(Arc<LoopState>);

impl Interruptible for PadStream {
    fn interrupt(&self) {
        self.0.interrupt(0);
    }
}

fn idle_stream() -> PadStream {
    PadStream(Arc::new(LoopState::new(
        Driver::new(&[1], Policy::default()),
        || (),
        || 0,
    )))
}

type PadOutlet = Outlet<PadStream>;

fn shared_outlet(stream: Option<PadStream>) -> Arc<PadOutlet> {
    let outlet = PadOutlet::new();
    outlet.set_flushing(false);
    outlet.set_stream(stream.map(shared));
    Arc::new(outlet)
}

fn shared<T>(value: T) -> gstlibcamerars::sync::Arc<T> {
    gstlibcamerars::sync::Arc::new(value)
}

/// What a pad's thread does: it goes round until `turn` is done with it, or it is flushing.
fn pad_thread(outlet: &PadOutlet, mut done: impl FnMut(&Turn<PadStream>) -> bool) -> bool {
    loop {
        let Ok(turn) = outlet.next() else {
            return false;
        };
        if done(&turn) {
            return true;
        }
        if let Turn::Stream(stream) = turn {
            assert!(
                stream.0.next_delivery(0).is_err(),
                "this camera delivers nothing"
            );
        }
    }
}

#[test]
fn a_flush_ends_a_wait_whenever_it_begins() {
    check("flush against the pad's wait", || {
        let outlet = shared_outlet(Some(idle_stream()));
        let pad = {
            let outlet = outlet.clone();
            thread::spawn(move || assert!(!pad_thread(&outlet, |_| false)))
        };
        outlet.set_flushing(true);
        pad.join().unwrap();
    });
}

#[test]
fn a_nudge_is_noticed_whatever_the_pad_waits_for() {
    for with_stream in [false, true] {
        check("nudge against the pad's wait", move || {
            let outlet = shared_outlet(with_stream.then(idle_stream));
            let pad = {
                let outlet = outlet.clone();
                thread::spawn(move || {
                    assert!(pad_thread(&outlet, |turn| matches!(turn, Turn::Nudged)));
                })
            };
            outlet.nudge();
            pad.join().unwrap();
        });
    }
}

/// The camera is started anew while a pad waits at its old stream, and then it is nudged or flushed by a third thread.
#[test]
fn a_pad_leaves_its_old_stream_for_the_new_one() {
    check(
        "another stream, and a flush, against the pad's wait",
        || {
            let outlet = shared_outlet(Some(idle_stream()));
            let new = idle_stream();
            let state = new.0.clone();
            let pad = {
                let outlet = outlet.clone();
                thread::spawn(move || {
                    let seen = std::cell::Cell::new(false);
                    pad_thread(&outlet, |turn| {
                        let new =
                            matches!(turn, Turn::Stream(stream) if Arc::ptr_eq(&stream.0, &state));
                        seen.set(seen.get() || new);
                        seen.get()
                    })
                })
            };
            let flusher = {
                let outlet = outlet.clone();
                thread::spawn(move || outlet.set_flushing(true))
            };
            outlet.set_stream(None);
            outlet.set_stream(Some(shared(new)));
            flusher.join().unwrap();
            pad.join().unwrap();
        },
    );
}

/// A pad's thread that goes to sleep because its peer was flushing, while another peer is linked: the link marks the pad, and wakes whoever sleeps.
fn linked_while_falling_asleep(sleep: fn(&Handle, &AtomicBool)) {
    let task = ModelTask::new();
    let marked = Arc::new(AtomicBool::new(false));
    let runner = {
        let (task, marked) = (task.clone(), marked.clone());
        let asleep_before = std::cell::Cell::new(false);
        thread::spawn(move || {
            task.run(|| {
                // The second round streams: it was woken.
                if asleep_before.replace(true) {
                    return Handle(task.clone()).stop();
                }
                sleep(&Handle(task.clone()), &marked);
            });
        })
    };
    marked.store(true, Ordering::SeqCst);
    let sleeps = task.state.lock().state == State::Paused;
    if sleeps {
        Handle(task).start();
    }
    runner.join().unwrap();
}

#[test]
fn a_pad_that_pauses_first_and_looks_then_misses_no_link() {
    check("pause, then look for a new peer", || {
        linked_while_falling_asleep(|task, marked| {
            task.pause();
            if marked.load(Ordering::SeqCst) {
                task.start();
            }
        });
    });
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_pad_that_only_pauses_misses_a_link() {
    check("pause without a look", || {
        linked_while_falling_asleep(|task, _| task.pause());
    });
}

/// The interruption comes before what it is for: the pad looks, sees nothing, and waits for ever.
#[test]
#[should_panic(expected = "deadlock")]
fn an_interruption_before_the_news_is_wasted() {
    check("interrupt, then publish", || {
        let stream = idle_stream();
        let state = stream.0.clone();
        let flag = Arc::new(AtomicBool::new(false));
        let pad = {
            let flag = flag.clone();
            thread::spawn(move || {
                while !flag.load(Ordering::SeqCst) {
                    let _ = state.next_delivery(0);
                }
            })
        };
        stream.interrupt();
        flag.store(true, Ordering::SeqCst);
        pad.join().unwrap();
    });
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_flush_that_the_waiter_rearms_is_forgotten() {
    check("flush re-armed by the waiter", || {
        let flushing = Arc::new((Mutex::new(false), Condvar::new()));
        let pad = {
            let flushing = flushing.clone();
            thread::spawn(move || {
                let mut flag = flushing.0.lock();
                *flag = false;
                while !*flag {
                    flushing.1.wait(&mut flag);
                }
            })
        };
        *flushing.0.lock() = true;
        flushing.1.notify_all();
        pad.join().unwrap();
    });
}
