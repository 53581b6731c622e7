//! Who queues requests: the task, and every thread in which a frame comes back.

use std::sync::{Arc, OnceLock};

use gstlibcamerars::{
    camera::{CameraError, Controls, FrameId, FrameSet, RequestId, RequestQueue},
    capture::{
        driver::{Driver, Policy},
        loop_state::LoopState,
        queueing::Queueing,
        task_gate::TaskGate,
    },
    sync::{Condvar, Mutex},
};
use loom::thread;

use super::{
    check,
    task::{Handle, ModelTask},
};

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
