#![allow(clippy::unwrap_used)]

use super::*;
use crate::camera::MAX_STREAMS;
use crate::capture::{stall::GLANCES, stills::StillId, stream::Captured};

const TIMING: Timing = Timing {
    pipeline: None,
    age: 0,
};
const FREE: Policy = Policy {
    paced: false,
    all_streams: false,
    on_demand: [false; MAX_STREAMS],
};

fn one_stream(frames: u32) -> Driver {
    Driver::new(&[frames], FREE)
}

fn set(frames: &[Option<u32>]) -> FrameSet {
    let mut set = FrameSet::default();
    for (slot, frame) in set.iter_mut().zip(frames) {
        *slot = frame.map(FrameId);
    }
    set
}

fn completion(request: RequestId, frames: FrameSet, sequence: u32) -> Completion {
    let status = FrameStatus::Success;
    Completion {
        request,
        status: CompletionStatus::Complete,
        sensor_timestamp: None,
        frames: frames.map(|frame| {
            Some(CompletedFrame {
                frame: frame?,
                status,
                sequence,
                bytes_used: None,
            })
        }),
    }
}

fn cancelled(request: RequestId, frames: FrameSet) -> Completion {
    Completion {
        status: CompletionStatus::Cancelled,
        ..completion(request, frames, 0)
    }
}

fn queued(driver: &mut Driver) -> (RequestId, FrameSet, bool) {
    match driver.poll_action() {
        Some(Action::Queue {
            request,
            frames,
            same_frames,
            ..
        }) => (request, frames, same_frames),
        other => panic!("{other:?}"),
    }
}

fn delivered(driver: &mut Driver, stream: usize) -> Captured {
    match driver.poll_delivery(stream) {
        Some(Delivery::Frame(captured)) => captured,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_free_frame_goes_to_the_camera() {
    let mut driver = one_stream(3);
    let frames: Vec<FrameSet> = (0..3).map(|_| queued(&mut driver).1).collect();
    assert_eq!(frames, [set(&[Some(0)]), set(&[Some(1)]), set(&[Some(2)])]);
    assert!(!driver.has_work());
    assert!(driver.poll_action().is_none());
}

#[test]
fn one_frame_goes_round_in_the_same_request() {
    let mut driver = one_stream(1);
    let (request, frames, same_frames) = queued(&mut driver);
    assert!(!same_frames);
    for sequence in 0..1000 {
        driver.handle_completed(&completion(request, frames, sequence), TIMING, 0);
        assert!(!driver.has_work(), "the frame is in the outbox");
        assert_eq!(delivered(&mut driver, 0).sequence, sequence);
        assert!(!driver.has_work(), "the frame is downstream");
        driver.handle_returned(0, FrameId(0));
        assert!(driver.has_work());
        assert_eq!(queued(&mut driver), (request, frames, true));
    }
    assert_eq!(driver.counters(0).delivered, 1000);
}

#[test]
fn a_frames_own_request_is_taken_before_one_that_has_rested_longer() {
    let mut driver = one_stream(2);
    let (first, second) = (queued(&mut driver), queued(&mut driver));
    for (sequence, queued) in [first, second].into_iter().enumerate() {
        driver.handle_completed(&completion(queued.0, queued.1, sequence as u32), TIMING, 0);
        delivered(&mut driver, 0);
    }
    driver.handle_returned(0, FrameId(1));
    assert_eq!(queued(&mut driver), (second.0, second.1, true));
}

#[test]
fn a_request_takes_other_frames_only_after_a_later_one_has_completed() {
    let mut driver = Driver::new(&[2, 2], FREE);
    let (first, frames, _) = queued(&mut driver);
    driver.handle_completed(&completion(first, frames, 0), TIMING, 0);
    // The first stream's frame is back, the second's is kept: frame 0 now goes with frame 1, in another request than its last.
    delivered(&mut driver, 0);
    driver.handle_returned(0, FrameId(0));
    let (second, frames, same_frames) = queued(&mut driver);
    assert_eq!((frames, same_frames), (set(&[Some(1), Some(1)]), false));
    assert_ne!(second, first);
    driver.handle_completed(&completion(second, frames, 1), TIMING, 0);
    let (third, frames, same_frames) = queued(&mut driver);
    assert_eq!((frames, same_frames), (set(&[Some(0), None]), false));
    assert_eq!(third, first, "it has rested: a later one has completed");
}

#[test]
fn streams_go_together_as_long_as_the_camera_has_enough() {
    let mut driver = Driver::new(&[4, 4], FREE);
    assert_eq!(driver.min_queued(), 2);
    let requests: Vec<_> = (0..4).map(|_| queued(&mut driver)).collect();
    for (sequence, (request, frames, _)) in requests.iter().take(2).enumerate() {
        driver.handle_completed(&completion(*request, *frames, sequence as u32), TIMING, 0);
        delivered(&mut driver, 0);
        driver.handle_returned(0, FrameId(sequence as u32));
    }
    assert!(
        !driver.has_work(),
        "two requests are with the camera: the first stream waits for the second"
    );
    delivered(&mut driver, 1);
    driver.handle_returned(1, FrameId(0));
    assert_eq!(queued(&mut driver).1, set(&[Some(0), Some(0)]));
}

#[test]
fn a_starved_stream_is_left_out_before_the_camera_runs_dry() {
    let mut driver = Driver::new(&[4, 4], FREE);
    let mut with_camera: Vec<_> = (0..4).map(|_| queued(&mut driver)).collect();
    // Nobody takes the second stream's frames; the first one's come back at once.
    for sequence in 0..100 {
        let (request, frames, _) = with_camera.remove(0);
        driver.handle_completed(&completion(request, frames, sequence), TIMING, 0);
        let captured = delivered(&mut driver, 0);
        driver.handle_returned(0, captured.frame);
        while driver.has_work() {
            with_camera.push(queued(&mut driver));
        }
        assert!(with_camera.len() >= 2);
        assert!(driver.is_consistent());
    }
    assert_eq!(driver.counters(0).delivered, 100);
    assert!(driver.counters(1).left_out > 90);
}

#[test]
fn all_streams_or_none_when_that_is_asked_for() {
    let mut driver = Driver::new(
        &[1, 1],
        Policy {
            all_streams: true,
            ..FREE
        },
    );
    let (request, frames, _) = queued(&mut driver);
    driver.handle_completed(&completion(request, frames, 0), TIMING, 0);
    delivered(&mut driver, 0);
    driver.handle_returned(0, FrameId(0));
    assert!(!driver.has_work());
    delivered(&mut driver, 1);
    driver.handle_returned(1, FrameId(0));
    assert_eq!(queued(&mut driver), (request, frames, true));
}

#[test]
fn cancelled_frames_come_back_and_nobody_sees_them() {
    let mut driver = one_stream(2);
    let (request, frames, _) = queued(&mut driver);
    driver.handle_completed(&cancelled(request, frames), TIMING, 0);
    assert!(!driver.has_delivery(0));
    assert_eq!(driver.counters(0).cancelled, 1);
    assert_eq!(queued(&mut driver).1, set(&[Some(1)]));
    assert_eq!(queued(&mut driver), (request, frames, true));
}

#[test]
fn a_frame_that_a_completion_does_not_name_comes_back() {
    let mut driver = Driver::new(&[1, 1], FREE);
    let (request, frames, _) = queued(&mut driver);
    let mut partial = completion(request, frames, 0);
    partial.frames[1] = None;
    driver.handle_completed(&partial, TIMING, 0);
    assert!(driver.has_delivery(0) && !driver.has_delivery(1));
    assert_eq!(driver.counters(1).cancelled, 1);
    assert!(driver.is_consistent());
}

#[test]
fn a_completion_that_the_camera_made_up_changes_nothing() {
    let mut driver = one_stream(1);
    let (request, frames, _) = queued(&mut driver);
    driver.handle_completed(&completion(RequestId(7), frames, 0), TIMING, 0);
    assert!(!driver.has_delivery(0));
    driver.handle_completed(&completion(request, frames, 0), TIMING, 0);
    driver.handle_completed(&completion(request, frames, 0), TIMING, 0);
    delivered(&mut driver, 0);
    assert!(
        !driver.has_delivery(0),
        "a second completion delivers nothing"
    );
    driver.handle_returned(0, FrameId(9));
    driver.handle_returned(9, FrameId(0));
    driver.handle_returned(0, FrameId(0));
    driver.handle_returned(0, FrameId(0));
    queued(&mut driver);
    assert!(!driver.has_work(), "a second return frees nothing");
    assert!(driver.is_consistent());
}

#[test]
fn a_completion_with_another_frame_than_was_queued_is_a_cancelled_one() {
    let mut driver = one_stream(2);
    let (request, _, _) = queued(&mut driver);
    driver.handle_completed(&completion(request, set(&[Some(1)]), 0), TIMING, 0);
    assert!(!driver.has_delivery(0));
    assert!(driver.is_consistent());
}

#[test]
fn gaps_in_the_sequence_are_counted_and_a_camera_that_does_not_count_has_none() {
    let mut driver = one_stream(1);
    for sequence in [5, 6, 9, 9, 0] {
        let (request, frames, _) = queued(&mut driver);
        driver.handle_completed(&completion(request, frames, sequence), TIMING, 0);
        delivered(&mut driver, 0);
        driver.handle_returned(0, FrameId(0));
    }
    assert_eq!(driver.counters(0).missed, 2);
}

#[test]
fn paced_requests_wait_for_a_tick_each_and_ticks_do_not_pile_up() {
    let mut driver = Driver::new(
        &[3],
        Policy {
            paced: true,
            ..FREE
        },
    );
    queued(&mut driver);
    assert!(!driver.has_work());
    driver.handle_tick();
    driver.handle_tick();
    queued(&mut driver);
    assert!(
        !driver.has_work(),
        "two ticks without a request in between are one"
    );
}

#[test]
fn the_end_comes_behind_the_frames_once_and_stays() {
    let mut driver = one_stream(2);
    let (request, frames, _) = queued(&mut driver);
    let late = queued(&mut driver);
    driver.handle_completed(&completion(request, frames, 0), TIMING, 0);
    driver.handle_eos();
    driver.handle_eos();
    driver.handle_completed(&completion(late.0, late.1, 1), TIMING, 0);
    delivered(&mut driver, 0);
    assert_eq!(driver.poll_delivery(0), Some(Delivery::Eos));
    assert_eq!(driver.poll_delivery(0), Some(Delivery::Eos));
    driver.handle_returned(0, FrameId(0));
    assert!(!driver.has_work(), "nothing is queued after the end");
}

#[test]
fn a_failure_is_reported_once_and_then_ends_every_outbox() {
    let mut driver = Driver::new(&[2, 2], FREE);
    let (request, _, _) = queued(&mut driver);
    let gone = || CameraError::Gone {
        camera: "a".to_owned(),
    };
    driver.handle_queue_failed(request, gone());
    driver.handle_failure(gone());
    assert!(
        matches!(driver.poll_action(), Some(Action::Report(error)) if matches!(*error, CameraError::Gone { .. }))
    );
    assert!(driver.poll_action().is_none());
    assert!(!driver.has_work());
    assert!(
        !driver.has_delivery(0),
        "nobody sees the end before the report"
    );
    driver.handle_reported();
    assert_eq!(driver.poll_delivery(0), Some(Delivery::Eos));
    assert_eq!(driver.poll_delivery(1), Some(Delivery::Eos));
    assert!(driver.is_consistent());
}

#[test]
fn a_camera_that_fills_nothing_has_failed() {
    let mut driver = one_stream(2);
    for _ in 0..100 {
        match driver.poll_action() {
            Some(Action::Queue {
                request, frames, ..
            }) => driver.handle_completed(&cancelled(request, frames), TIMING, 0),
            Some(Action::Report(error)) => {
                assert!(matches!(*error, CameraError::AllCancelled));
                return;
            }
            other => panic!("neither work nor failure: {other:?}"),
        }
    }
    panic!("for ever");
}

#[test]
fn what_waits_can_be_discarded_but_not_the_end() {
    let mut driver = one_stream(2);
    let (request, frames, _) = queued(&mut driver);
    driver.handle_completed(&completion(request, frames, 0), TIMING, 0);
    driver.handle_discard();
    assert!(!driver.has_delivery(0));
    assert_eq!(queued(&mut driver).1, set(&[Some(1)]));
    assert_eq!(queued(&mut driver).1, frames);
    driver.handle_eos();
    driver.handle_discard();
    assert_eq!(driver.poll_delivery(0), Some(Delivery::Eos));
}

#[test]
fn a_camera_that_keeps_its_requests_is_warned_of_once_a_stall() {
    let mut driver = one_stream(1);
    let glance = |driver: &mut Driver, times| (0..times).for_each(|_| driver.handle_glance());
    let warned = |driver: &mut Driver| matches!(driver.poll_action(), Some(Action::WarnOfStall));
    glance(&mut driver, 2 * GLANCES);
    let (request, frames, same) = queued(&mut driver);
    assert!(!same, "a camera without requests does not stall");
    glance(&mut driver, GLANCES - 1);
    assert!(!driver.has_work());
    glance(&mut driver, 1);
    assert!(warned(&mut driver));
    glance(&mut driver, 5 * GLANCES);
    assert!(!warned(&mut driver), "once");
    driver.handle_completed(&completion(request, frames, 0), TIMING, 0);
    delivered(&mut driver, 0);
    driver.handle_returned(0, FrameId(0));
    queued(&mut driver);
    glance(&mut driver, GLANCES + 1);
    assert!(warned(&mut driver), "another stall");
}

#[test]
fn an_outbox_of_the_latest_holds_one_frame_and_the_older_go_back_to_the_camera() {
    let mut driver = one_stream(3);
    driver.handle_outbox_policy(0, OutboxPolicy::Latest);
    for sequence in 0..10 {
        let (request, frames, _) = queued(&mut driver);
        driver.handle_completed(&completion(request, frames, sequence), TIMING, 0);
        assert_eq!(driver.frames_in(0, Place::Outbox), 1);
        assert!(driver.is_consistent());
    }
    assert_eq!(delivered(&mut driver, 0).sequence, 9);
    assert!(!driver.has_delivery(0));
    assert_eq!(driver.counters(0).dropped, 9);
}

#[test]
fn frames_of_a_stream_that_nobody_wants_go_straight_home() {
    let mut driver = Driver::new(&[1, 1], FREE);
    let (request, frames, _) = queued(&mut driver);
    driver.handle_completed(&completion(request, frames, 0), TIMING, 0);
    driver.handle_muted(1);
    assert!(driver.has_delivery(0) && !driver.has_delivery(1));
    delivered(&mut driver, 0);
    driver.handle_returned(0, FrameId(0));
    let (request, frames, _) = queued(&mut driver);
    assert_eq!(frames, set(&[Some(0), Some(0)]));
    driver.handle_completed(&completion(request, frames, 1), TIMING, 0);
    assert!(driver.has_delivery(0) && !driver.has_delivery(1));
    driver.handle_eos();
    assert_eq!(driver.poll_delivery(1), Some(Delivery::Eos));
}

#[test]
fn the_time_without_a_frame_for_the_camera_is_counted() {
    let mut driver = one_stream(1);
    let (request, frames, _) = queued(&mut driver);
    assert!(!driver.starvation_has_changed());
    driver.handle_completed(&completion(request, frames, 0), TIMING, 100);
    assert!(driver.starvation_has_changed());
    driver.note_starvation(100);
    assert!(matches!(
        driver.poll_action(),
        Some(Action::TellOfStarvation(0))
    ));
    assert!(!driver.has_work(), "once");
    delivered(&mut driver, 0);
    assert!(!driver.starvation_has_changed());
    driver.handle_returned(0, FrameId(0));
    assert!(driver.starvation_has_changed());
    driver.note_starvation(350);
    assert_eq!(driver.counters(0).starved, 250);
}

#[test]
fn requests_are_counted_by_what_became_of_them() {
    let mut driver = one_stream(2);
    let (first, frames, _) = queued(&mut driver);
    driver.handle_completed(&completion(first, frames, 0), TIMING, 0);
    driver.handle_completed(&completion(first, frames, 0), TIMING, 0);
    let (second, frames, _) = queued(&mut driver);
    driver.handle_completed(&cancelled(second, frames), TIMING, 0);
    let (third, _, _) = queued(&mut driver);
    driver.handle_queue_failed(third, CameraError::NoCamera);
    let counted = driver.request_counters();
    let expected = RequestCounters {
        queued: 3,
        completed: 1,
        cancelled: 1,
        failed: 1,
        unknown: 1,
    };
    assert_eq!(counted, expected);
}

fn still(index: u32, streams: &[bool]) -> Still {
    let mut set = StreamSet::default();
    for (place, wanted) in set.iter_mut().zip(streams) {
        *place = *wanted;
    }
    Still {
        id: StillId { capture: 1, index },
        streams: set,
        controls: Controls::default(),
        restore: Controls::default(),
    }
}

/// Two frames each; the second stream, and a third one, are on demand.
fn with_stills() -> Driver {
    Driver::new(
        &[2, 2, 2],
        Policy {
            on_demand: [false, true, true, false],
            ..FREE
        },
    )
}

#[test]
fn a_still_rides_with_the_next_request() {
    let mut driver = with_stills();
    assert_eq!(queued(&mut driver).1, set(&[Some(0)]));
    assert!(driver.handle_stills(vec![
        still(0, &[false, true]),
        still(1, &[false, true, true])
    ]));
    let (request, frames, _) = queued(&mut driver);
    assert_eq!(frames, set(&[Some(1), Some(0)]));
    assert!(
        !driver.has_work(),
        "the second waits for a request, and makes none"
    );
    driver.handle_completed(&completion(request, frames, 7), TIMING, 0);
    assert!(!driver.has_work(), "it is told when it is pushed");
    let captured = delivered(&mut driver, 1);
    let id = StillId {
        capture: 1,
        index: 0,
    };
    assert_eq!(captured.still, Some(id));
    driver.handle_still_delivered(1, &captured);
    match driver.poll_action() {
        Some(Action::TellOfStill(outcome)) => {
            assert_eq!((outcome.id, outcome.stream, outcome.result), (id, 1, Ok(7)));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(delivered(&mut driver, 0).still, None);
    driver.handle_returned(0, FrameId(1));
    let (_, frames, _) = queued(&mut driver);
    assert_eq!(frames, set(&[Some(1), Some(1), Some(0)]));
    assert_eq!(driver.counters(1).left_out, 0, "nobody has missed it");
}

#[test]
fn a_still_that_has_no_frame_keeps_nobody() {
    let mut driver = with_stills();
    let stills = (0..3).map(|index| still(index, &[false, true])).collect();
    assert!(driver.handle_stills(stills));
    for still in 0..2 {
        let (request, frames, _) = queued(&mut driver);
        driver.handle_completed(&completion(request, frames, 0), TIMING, 0);
        delivered(&mut driver, 0);
        let captured = delivered(&mut driver, 1);
        driver.handle_still_delivered(1, &captured);
        driver.handle_returned(0, FrameId(still));
        assert!(matches!(driver.poll_action(), Some(Action::TellOfStill(_))));
    }
    assert!(
        driver.starvation_has_changed(),
        "a still waits for its consumer"
    );
    let (_, frames, _) = queued(&mut driver);
    assert_eq!(frames, set(&[Some(0)]), "the other stream goes on");
    driver.handle_returned(1, FrameId(0));
    assert_eq!(queued(&mut driver).1, set(&[Some(1), Some(0)]));
}

#[test]
fn stills_that_cannot_be_are_refused_or_fail() {
    let mut driver = with_stills();
    assert!(
        !driver.handle_stills(vec![still(0, &[true])]),
        "a continuous stream"
    );
    assert!(!driver.handle_stills(vec![still(0, &[])]), "of nothing");
    assert!(!driver.handle_stills(vec![still(0, &[false, false, false, true])]));
    let stills = (0..3).map(|index| still(index, &[false, true])).collect();
    assert!(driver.handle_stills(stills));
    queued(&mut driver);
    driver.handle_eos();
    let outcomes = driver.take_still_outcomes();
    let ids: Vec<u32> = outcomes.iter().map(|outcome| outcome.id.index).collect();
    assert_eq!(
        ids,
        [1, 2, 0],
        "those that waited, and the one that the camera has"
    );
    let ended = |outcome: &StillOutcome| outcome.result == Err(StillFailure::Ended);
    assert!(outcomes.iter().all(ended));
    assert!(
        !driver.handle_stills(vec![still(0, &[false, true])]),
        "after the end"
    );
}

#[test]
fn a_still_that_waits_for_its_consumer_keeps_no_other_stream_s() {
    let mut driver = with_stills();
    let stills = (0..3).map(|index| still(index, &[false, true])).collect();
    assert!(driver.handle_stills(stills));
    for _ in 0..2 {
        queued(&mut driver);
    }
    // Both frames of the second stream are out; the third stream's still does not wait for that.
    assert!(driver.handle_stills(vec![still(3, &[false, false, true])]));
    let (request, frames, _) = {
        driver.handle_completed(
            &completion(RequestId(0), set(&[Some(0), Some(0)]), 0),
            TIMING,
            0,
        );
        delivered(&mut driver, 0);
        driver.handle_returned(0, FrameId(0));
        queued(&mut driver)
    };
    assert_eq!(frames, set(&[Some(0), None, Some(0)]));
    assert_ne!(request, RequestId(1));
}

#[test]
fn a_still_that_is_dropped_before_it_is_pushed_has_failed() {
    let dropped = |drop: &dyn Fn(&mut Driver)| {
        let mut driver = with_stills();
        assert!(driver.handle_stills(vec![still(0, &[false, true])]));
        let (request, frames, _) = queued(&mut driver);
        driver.handle_completed(&completion(request, frames, 0), TIMING, 0);
        drop(&mut driver);
        let outcomes = driver.take_still_outcomes();
        assert_eq!(outcomes.len(), 1);
        outcomes[0].result
    };
    let lost = Err(StillFailure::Dropped);
    assert_eq!(dropped(&Driver::handle_discard), lost);
    let gone = Err(StillFailure::PadGone);
    assert_eq!(dropped(&|driver| driver.handle_muted(1)), gone);
    let taken = |driver: &mut Driver| {
        let captured = delivered(driver, 1);
        driver.handle_still_dropped(1, &captured);
    };
    assert_eq!(dropped(&taken), lost);
}
