//! A still has one outcome, however late its pad's thread says what became of the frame that it has in its hands.

use std::sync::Arc;

use gstlibcamerars::{
    camera::Controls,
    capture::{
        driver::{Driver, Policy},
        loop_state::LoopState,
        stills::{Still, StillId, StreamSet},
        stream::Delivery,
    },
};
use loom::thread;

use super::{
    check,
    delivery::{TIMING, completion, queue_one},
};

fn one() -> Still {
    let mut streams = StreamSet::default();
    streams[1] = true;
    Still {
        id: StillId {
            capture: 1,
            index: 0,
        },
        streams,
        controls: Controls::default(),
        restore: Controls::default(),
    }
}

/// A frame of a still waits in the outbox of a state whose capture task has ended.
fn taken() -> Arc<LoopState> {
    let mut policy = Policy::default();
    policy.on_demand[1] = true;
    let state = LoopState::new(Driver::new(&[1, 1], policy), || (), || 0);
    assert!(state.capture(vec![one()]));
    let (request, frames) = queue_one(&state);
    state.completed(&completion(request, frames), TIMING, 0);
    Arc::new(state)
}

#[test]
fn a_still_has_one_outcome_if_its_thread_is_late() {
    check("a still's frame against the end", || {
        let state = taken();
        let pad = {
            let state = state.clone();
            thread::spawn(move || match state.next_delivery(1) {
                Ok(Delivery::Frame(captured)) => state.still_taken(1, &captured, true).len(),
                _ => 0,
            })
        };
        let told = state.take_still_outcomes().len() + state.finish().len();
        assert_eq!(told + pad.join().unwrap(), 1);
    });
}

/// As it was: the thread leaves what it has said to a task that has gone.
#[test]
#[should_panic = "assertion `left == right` failed"]
fn to_leave_it_to_the_task_loses_it() {
    check("a still's frame left to the task", || {
        let state = taken();
        let pad = {
            let state = state.clone();
            thread::spawn(move || {
                if let Ok(Delivery::Frame(captured)) = state.next_delivery(1) {
                    let _ = state.still_taken(1, &captured, true);
                }
            })
        };
        let told = state.take_still_outcomes().len() + state.finish().len();
        pad.join().unwrap();
        assert_eq!(told, 1);
    });
}
