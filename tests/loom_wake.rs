//! The wake protocol, model-checked: every interleaving of a few threads, up to a bound of preemptions.
//!
//! What is checked is what ships: `capture::task_gate` and `capture::loop_state`, over a model of GstTask. Beside each right shape stand the wrong
//! ones that were once found in the wild; each of them must fail, or the checker sees nothing.
//!
//!     RUSTFLAGS="--cfg loom" cargo test --release --no-default-features --test loom_wake
#![cfg(loom)]
#![allow(clippy::unwrap_used)]

use gstlibcamerars::{
    camera::{
        CameraError, CompletedFrame, Completion, CompletionStatus, Controls, FrameId, FrameSet,
        FrameStatus, RequestId, RequestQueue,
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
    sync::{Condvar, Mutex, atomic::AtomicBool},
};
use loom::{sync::atomic::Ordering, thread};
use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock, atomic::AtomicUsize},
};

// --- GstTask ---------------------------------------------------------------------------------------------------------------

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Stopped,
    Started,
    Paused,
}

struct TaskState {
    state: State,
    running: bool,
}

/// GstTask as GStreamer 1.14 to 1.28 has it: one lock, one condition that the task and whoever joins it share, signals that wake one of them.
struct ModelTask {
    state: Mutex<TaskState>,
    condition: Condvar,
}

impl ModelTask {
    /// Started, its thread not yet at work.
    fn new() -> Arc<Self> {
        let state = TaskState {
            state: State::Started,
            running: true,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            condition: Condvar::new(),
        })
    }

    fn set(&self, state: &mut TaskState, new: State) {
        let old = std::mem::replace(&mut state.state, new);
        if old == State::Paused && new != State::Paused {
            self.condition.notify_one();
        }
    }

    /// The task's thread.
    fn run(&self, body: impl Fn()) {
        loop {
            let mut state = self.state.lock();
            while state.state == State::Paused {
                self.condition.wait(&mut state);
            }
            if state.state == State::Stopped {
                state.running = false;
                self.condition.notify_one();
                return;
            }
            drop(state);
            body();
        }
    }
}

/// What the gate gets: a handle to the task.
struct Handle(Arc<ModelTask>);

impl TaskControl for Handle {
    /// It has its thread already.
    fn start(&self) -> bool {
        let mut state = self.0.state.lock();
        self.0.set(&mut state, State::Started);
        true
    }
    /// Whatever the state was: this is what overwrites a STOPPED.
    fn pause(&self) {
        let mut state = self.0.state.lock();
        self.0.set(&mut state, State::Paused);
    }
    fn resume(&self) {
        let mut state = self.0.state.lock();
        if state.state != State::Stopped {
            self.0.set(&mut state, State::Started);
        }
    }
    fn stop(&self) {
        let mut state = self.0.state.lock();
        self.0.set(&mut state, State::Stopped);
    }
    fn join(&self) {
        let mut state = self.0.state.lock();
        self.0.set(&mut state, State::Stopped);
        while state.running {
            self.0.condition.wait(&mut state);
        }
    }
}

// --- the checker -----------------------------------------------------------------------------------------------------------

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

// --- losing no wake-up -----------------------------------------------------------------------------------------------------

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

// --- ending at any moment --------------------------------------------------------------------------------------------------

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

// --- who notifies, and when --------------------------------------------------------------------------------------------------

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

// --- the loop state ------------------------------------------------------------------------------------------------------------

const TIMING: Timing = Timing {
    pipeline: None,
    age: 0,
};

fn completion(request: RequestId, frames: FrameSet) -> Completion {
    let status = FrameStatus::Success;
    Completion {
        request,
        status: CompletionStatus::Complete,
        sensor_timestamp: None,
        frames: frames.map(|frame| {
            Some(CompletedFrame {
                frame: frame?,
                status,
                sequence: 0,
                bytes_used: None,
            })
        }),
    }
}

fn queue_one(state: &LoopState) -> (RequestId, FrameSet) {
    match state.next_action() {
        Some(Action::Queue {
            request, frames, ..
        }) => (request, frames),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_completed_frame_reaches_who_waits_for_it() {
    check("completion against the pad's wait", || {
        let state = Arc::new(LoopState::new(
            Driver::new(&[1], Policy::default()),
            || (),
            || 0,
        ));
        let (request, frames) = queue_one(&state);
        let camera = {
            let state = state.clone();
            thread::spawn(move || state.completed(&completion(request, frames), TIMING, 0))
        };
        assert!(
            matches!(state.next_delivery(0), Ok(Delivery::Frame(captured)) if Some(captured.frame) == frames[0])
        );
        camera.join().unwrap();
    });
}

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

#[test]
fn an_end_reaches_who_waits_and_who_waits_later() {
    check("EOS against the pad's wait", || {
        let state = Arc::new(LoopState::new(
            Driver::new(&[1], Policy::default()),
            || (),
            || 0,
        ));
        let pad = {
            let state = state.clone();
            thread::spawn(move || {
                assert_eq!(state.next_delivery(0), Ok(Delivery::Eos));
                assert_eq!(state.next_delivery(0), Ok(Delivery::Eos));
            })
        };
        state.end();
        pad.join().unwrap();
    });
}

/// The whole round with one frame: the camera completes, the pad takes the frame and drops it, the task queues it again. Nobody but the
/// frame's return wakes the task, and the gate is closed while all that goes on.
#[test]
fn a_frame_goes_round_while_the_gate_closes() {
    check("one frame's round, closed at any moment", || {
        let task = ModelTask::new();
        let gate = Arc::new(TaskGate::new(Handle(task.clone())));
        assert!(gate.open());
        let state = {
            let gate = gate.clone();
            Arc::new(LoopState::new(
                Driver::new(&[1], Policy::default()),
                move || gate.notify(),
                || 0,
            ))
        };
        let (request, frames) = queue_one(&state);
        let runner = {
            let (gate, state) = (gate.clone(), state.clone());
            thread::spawn(move || {
                task.run(|| gate.iterate(|| while state.next_action().is_some() {}))
            })
        };
        let pad = {
            let state = state.clone();
            thread::spawn(move || {
                if let Ok(Delivery::Frame(captured)) = state.next_delivery(0) {
                    state.returned(0, captured.frame);
                }
            })
        };
        state.completed(&completion(request, frames), TIMING, 0);
        gate.close();
        pad.join().unwrap();
        runner.join().unwrap();
    });
}

#[test]
fn a_failure_wakes_the_task_that_reports_it_and_ends_the_stream() {
    check("failure, report, end", || {
        let task = ModelTask::new();
        let gate = Arc::new(TaskGate::new(Handle(task.clone())));
        assert!(gate.open());
        let state = {
            let gate = gate.clone();
            Arc::new(LoopState::new(
                Driver::new(&[1], Policy::default()),
                move || gate.notify(),
                || 0,
            ))
        };
        queue_one(&state);
        let reported = Arc::new(AtomicBool::new(false));
        let seen = reported.clone();
        let runner = {
            let (gate, state, task) = (gate.clone(), state.clone(), task.clone());
            thread::spawn(move || {
                task.run(|| {
                    gate.iterate(|| {
                        if let Some(Action::Report(_)) = state.next_action() {
                            seen.store(true, Ordering::Relaxed);
                            state.reported();
                            Handle(task.clone()).stop();
                        }
                    });
                });
            })
        };
        state.failed(CameraError::NoCamera);
        assert_eq!(state.next_delivery(0), Ok(Delivery::Eos));
        assert!(
            reported.load(Ordering::Relaxed),
            "the end came before its reason"
        );
        runner.join().unwrap();
    });
}

// --- who queues requests --------------------------------------------------------------------------------------------------------

/// What a camera has been given, and whether it may be given more.
#[derive(Default)]
struct Camera {
    queued: Mutex<(usize, bool)>,
    changed: Condvar,
}

struct Queue(Arc<Camera>);

impl RequestQueue for Queue {
    fn queue(
        &mut self,
        _: RequestId,
        _: &FrameSet,
        _: bool,
        _: Option<&Controls>,
    ) -> Result<(), CameraError> {
        let mut queued = self.0.queued.lock();
        assert!(!queued.1, "a request for a camera that was stopped");
        queued.0 += 1;
        drop(queued);
        self.0.changed.notify_one();
        Ok(())
    }
}

/// A task and helpers that queue the requests of one camera, with two frames, which are downstream.
struct Helped {
    task: Arc<ModelTask>,
    gate: Arc<TaskGate<Handle>>,
    state: Arc<LoopState>,
    queueing: Arc<Queueing>,
    camera: Arc<Camera>,
}

impl Helped {
    /// Whoever publishes something then does `wake`.
    fn new(wake: fn(&LoopState, &Queueing, &TaskGate<Handle>)) -> Arc<Self> {
        let task = ModelTask::new();
        let gate = Arc::new(TaskGate::new(Handle(task.clone())));
        assert!(gate.open());
        let camera = Arc::new(Camera::default());
        let queueing = Arc::new(Queueing::new(Box::new(Queue(camera.clone()))));
        let mut driver = Driver::new(&[2], Policy::default());
        driver.lend_out(0, 2);
        let parts: Arc<OnceLock<std::sync::Weak<Self>>> = Arc::default();
        let known = parts.clone();
        let state = Arc::new(LoopState::new(
            driver,
            move || {
                if let Some(helped) = known.get().and_then(std::sync::Weak::upgrade) {
                    wake(&helped.state, &helped.queueing, &helped.gate);
                }
            },
            || 0,
        ));
        let helped = Arc::new(Self {
            task,
            gate,
            state,
            queueing,
            camera,
        });
        parts.set(Arc::downgrade(&helped)).unwrap();
        helped
    }

    fn run_task(self: &Arc<Self>) -> thread::JoinHandle<()> {
        let helped = self.clone();
        thread::spawn(move || {
            helped.task.run(|| {
                helped.gate.iterate(|| {
                    let (_, news) = helped.queueing.work(&helped.state);
                    assert!(news.is_none());
                });
            });
        })
    }

    /// Both frames come back, in two threads, and the camera gets both.
    fn both_come_back(self: &Arc<Self>) {
        let runner = self.run_task();
        let other = {
            let helped = self.clone();
            thread::spawn(move || helped.state.returned(0, FrameId(1)))
        };
        self.state.returned(0, FrameId(0));
        let mut queued = self.camera.queued.lock();
        while queued.0 < 2 {
            self.camera.changed.wait(&mut queued);
        }
        drop(queued);
        other.join().unwrap();
        self.gate.close();
        runner.join().unwrap();
    }
}

#[test]
fn helpers_queue_every_frame_that_comes_back() {
    check("two helpers and the task", || {
        let wake = |state: &LoopState, queueing: &Queueing, gate: &TaskGate<Handle>| {
            if !queueing.help(state) {
                gate.notify();
            }
        };
        Helped::new(wake).both_come_back();
    });
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_helper_that_relies_on_whoever_has_the_queue_loses_a_frame() {
    check("helpers that wake nobody", || {
        let wake = |state: &LoopState, queueing: &Queueing, _: &TaskGate<Handle>| {
            let _ = queueing.help(state);
        };
        Helped::new(wake).both_come_back();
    });
}

#[test]
fn nobody_helps_after_the_queue_was_closed() {
    check("a helper against the end", || {
        let helped = Helped::new(|state, queueing, gate| {
            if !queueing.help(state) {
                gate.notify();
            }
        });
        let runner = helped.run_task();
        let other = {
            let helped = helped.clone();
            thread::spawn(move || helped.state.returned(0, FrameId(1)))
        };
        helped.gate.close();
        let queue = helped.queueing.close();
        helped.camera.queued.lock().1 = true;
        drop(queue);
        other.join().unwrap();
        runner.join().unwrap();
    });
}
