#![allow(clippy::unwrap_used)]

use super::*;

const TIMING: Timing = Timing {
    pipeline: None,
    age: 0,
};

fn completion(request: RequestId, frame: FrameId, sequence: u32) -> Completion {
    Completion {
        request,
        status: CompletionStatus::Complete,
        frame,
        frame_status: FrameStatus::Success,
        sequence,
        sensor_timestamp: None,
        bytes_used: None,
    }
}

fn cancelled(request: RequestId, frame: FrameId) -> Completion {
    Completion {
        status: CompletionStatus::Cancelled,
        ..completion(request, frame, 0)
    }
}

fn queued(driver: &mut Driver) -> (RequestId, FrameId, bool) {
    match driver.poll_action() {
        Some(Action::Queue {
            request,
            frame,
            same_frame,
        }) => (request, frame, same_frame),
        other => panic!("{other:?}"),
    }
}

fn delivered(driver: &mut Driver) -> Captured {
    match driver.poll_delivery() {
        Some(Delivery::Frame(captured)) => captured,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_free_frame_goes_to_the_camera() {
    let mut driver = Driver::new(3, false);
    let frames: Vec<FrameId> = (0..3).map(|_| queued(&mut driver).1).collect();
    assert_eq!(frames, [FrameId(0), FrameId(1), FrameId(2)]);
    assert!(!driver.has_work());
    assert!(driver.poll_action().is_none());
}

#[test]
fn one_frame_goes_round_in_the_same_request() {
    let mut driver = Driver::new(1, false);
    let (request, frame, same_frame) = queued(&mut driver);
    assert!(!same_frame);
    for sequence in 0..1000 {
        driver.handle_completed(&completion(request, frame, sequence), TIMING);
        assert!(!driver.has_work(), "the frame is in the outbox");
        assert_eq!(delivered(&mut driver).sequence, sequence);
        assert!(!driver.has_work(), "the frame is downstream");
        driver.handle_returned(frame);
        assert!(driver.has_work());
        assert_eq!(queued(&mut driver), (request, frame, true));
    }
    assert_eq!(driver.counters().delivered, 1000);
}

#[test]
fn a_request_gets_another_frame_only_after_a_later_request_has_completed() {
    // Frame 0 is kept downstream, so that only requests that carry other frames rest.
    let mut driver = Driver::new(2, false);
    let first = queued(&mut driver);
    let second = queued(&mut driver);
    driver.handle_completed(&completion(first.0, first.1, 0), TIMING);
    let _kept = delivered(&mut driver);
    driver.handle_completed(&completion(second.0, second.1, 1), TIMING);
    delivered(&mut driver);
    driver.handle_returned(second.1);
    // The frame's own request rests with it: that one is taken, though the first request has rested longer.
    assert_eq!(queued(&mut driver), (second.0, second.1, true));
}

#[test]
fn cancelled_frames_come_back_and_nobody_sees_them() {
    let mut driver = Driver::new(2, false);
    let (request, frame, _) = queued(&mut driver);
    driver.handle_completed(&cancelled(request, frame), TIMING);
    assert!(!driver.has_delivery());
    assert_eq!(driver.counters().cancelled, 1);
    assert_eq!(queued(&mut driver).1, FrameId(1));
    assert_eq!(queued(&mut driver), (request, frame, true));
}

#[test]
fn a_completion_that_the_camera_made_up_changes_nothing() {
    let mut driver = Driver::new(1, false);
    let (request, frame, _) = queued(&mut driver);
    driver.handle_completed(&completion(RequestId(7), frame, 0), TIMING);
    driver.handle_completed(&completion(request, FrameId(9), 0), TIMING);
    assert!(!driver.has_delivery());
    driver.handle_completed(&completion(request, frame, 0), TIMING);
    driver.handle_completed(&completion(request, frame, 0), TIMING);
    delivered(&mut driver);
    assert!(
        !driver.has_delivery(),
        "a second completion delivers nothing"
    );
    driver.handle_returned(FrameId(9));
    driver.handle_returned(frame);
    driver.handle_returned(frame);
    queued(&mut driver);
    assert!(!driver.has_work(), "a second return frees nothing");
}

#[test]
fn gaps_in_the_sequence_are_counted_and_a_camera_that_does_not_count_has_none() {
    let mut driver = Driver::new(1, false);
    for sequence in [5, 6, 9, 9, 0] {
        let (request, frame, _) = queued(&mut driver);
        driver.handle_completed(&completion(request, frame, sequence), TIMING);
        delivered(&mut driver);
        driver.handle_returned(frame);
    }
    assert_eq!(driver.counters().missed, 2);
}

#[test]
fn paced_requests_wait_for_a_tick_each_and_ticks_do_not_pile_up() {
    let mut driver = Driver::new(3, true);
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
    let mut driver = Driver::new(2, false);
    let (request, frame, _) = queued(&mut driver);
    let late = queued(&mut driver);
    driver.handle_completed(&completion(request, frame, 0), TIMING);
    driver.handle_eos();
    driver.handle_eos();
    driver.handle_completed(&completion(late.0, late.1, 1), TIMING);
    delivered(&mut driver);
    assert_eq!(driver.poll_delivery(), Some(Delivery::Eos));
    assert_eq!(driver.poll_delivery(), Some(Delivery::Eos));
    driver.handle_returned(frame);
    assert!(!driver.has_work(), "nothing is queued after the end");
}

#[test]
fn a_failure_is_reported_once_and_ends_the_outbox() {
    let mut driver = Driver::new(2, false);
    let (request, frame, _) = queued(&mut driver);
    let gone = || CameraError::Gone {
        camera: "a".to_owned(),
    };
    driver.handle_queue_failed(request, frame, gone());
    driver.handle_failure(gone());
    assert!(matches!(
        driver.poll_action(),
        Some(Action::Report(CameraError::Gone { .. }))
    ));
    assert!(driver.poll_action().is_none());
    assert!(!driver.has_work());
    assert_eq!(driver.poll_delivery(), Some(Delivery::Eos));
}

#[test]
fn what_waits_can_be_discarded_but_not_the_end() {
    let mut driver = Driver::new(2, false);
    let (request, frame, _) = queued(&mut driver);
    driver.handle_completed(&completion(request, frame, 0), TIMING);
    driver.handle_discard();
    assert!(!driver.has_delivery());
    assert_eq!(queued(&mut driver).1, FrameId(1));
    assert_eq!(queued(&mut driver).1, frame);
    driver.handle_eos();
    driver.handle_discard();
    assert_eq!(driver.poll_delivery(), Some(Delivery::Eos));
}
