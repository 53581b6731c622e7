//! Who queues requests: the capture task, or a helper, which is a pad's thread that has just given a frame back. That saves waking the task for each
//! frame.
//!
//! One at a time: whoever asks what goes next holds the queue until the camera has it, so that no request overtakes another. A helper does not wait
//! for that. It has published first, like anybody; if the queue is taken, whoever has it may have looked for the last time before that, so the helper
//! wakes the task, as it would have without this. Whatever is not a request is the task's as well.
//!
//! The lock is held while a request is queued. Nothing that the camera calls takes it, and helpers only try.

use super::{driver::Action, loop_state::LoopState};
use crate::camera::RequestQueue;
use crate::sync::Mutex;

/// `None` once it is closed.
pub struct Queueing(Mutex<Option<Box<dyn RequestQueue>>>);

impl Queueing {
    pub fn new(queue: Box<dyn RequestQueue>) -> Self {
        Self(Mutex::new(Some(queue)))
    }

    /// For the task: queues what there is to queue, up to the next thing that is to be told; says whether it queued something, and what that is.
    pub fn work(&self, state: &LoopState) -> (bool, Option<Action>) {
        let mut queued = false;
        let mut queue = self.0.lock();
        let Some(queue) = queue.as_mut() else {
            return (queued, None);
        };
        while let Some(action) = state.next_action() {
            if let Some(news) = queue_request(&mut **queue, state, action) {
                return (queued, Some(news));
            }
            queued = true;
        }
        (queued, None)
    }

    /// For a helper, after it has published: queues what there is to queue. False when the task is to be woken.
    #[must_use]
    pub fn help(&self, state: &LoopState) -> bool {
        let Some(mut queue) = self.0.try_lock() else {
            return false;
        };
        // Closed, the task is gone as well.
        let Some(queue) = queue.as_mut() else {
            return true;
        };
        while let Some(action) = state.next_request() {
            queue_request(&mut **queue, state, action);
        }
        !state.has_news()
    }

    /// Nothing is queued any more when this returns. The queue is to be dropped when the camera was stopped.
    pub fn close(&self) -> Option<Box<dyn RequestQueue>> {
        self.0.lock().take()
    }
}

/// What is no request comes back.
fn queue_request(
    queue: &mut dyn RequestQueue,
    state: &LoopState,
    action: Action,
) -> Option<Action> {
    let Action::Queue {
        request,
        frames,
        same_frames,
        controls,
    } = action
    else {
        return Some(action);
    };
    if let Err(error) = queue.queue(request, &frames, same_frames, controls.as_deref()) {
        state.queue_failed(request, error);
    }
    None
}
