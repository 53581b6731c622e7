//! Every order of events in small worlds.

use std::collections::{HashSet, VecDeque};

use gstlibcamerars::{camera::MAX_STREAMS, capture::driver::Policy};

use super::{Event, How, World};

/// Visits every state that `frames` and `policy` can come to by such events, and says how many there are.
fn search(frames: &[u32], policy: Policy, wanted: fn(&Event) -> bool) -> usize {
    search_from(World::new(frames, policy), wanted)
}

fn search_from(first: World, wanted: fn(&Event) -> bool) -> usize {
    let (frames, policy) = (first.frames.clone(), first.policy);
    let mut seen = HashSet::from([first.key()]);
    let mut next = VecDeque::from([first]);
    while let Some(world) = next.pop_front() {
        for event in world.events().into_iter().filter(wanted) {
            let mut after = world.clone();
            after.apply(event);
            if seen.insert(after.key()) {
                next.push_back(after);
            }
        }
    }
    println!(
        "driver search: {frames:?} frames, {policy:?}: {} states",
        seen.len()
    );
    seen.len()
}

const fn policy(paced: bool, all_streams: bool) -> Policy {
    Policy {
        paced,
        all_streams,
        on_demand: [false; MAX_STREAMS],
    }
}

const POLICIES: [Policy; 4] = [
    policy(false, false),
    policy(false, true),
    policy(true, false),
    policy(true, true),
];

/// What changes a stream or a control while frames flow. Apart, or there would be more states than can be visited.
fn is_a_setting(event: &Event) -> bool {
    matches!(
        event,
        Event::Set | Event::Mute { .. } | Event::Policy { .. }
    )
}

#[test]
fn every_order_of_every_event_of_the_camera() {
    for policy in POLICIES {
        for frames in [&[2][..], &[1, 1]] {
            assert!(search(frames, policy, |event| !is_a_setting(event)) > 500);
        }
    }
    assert!(search(&[2, 1], policy(true, true), |event| !is_a_setting(event)) > 2000);
}

/// Of our own memory there can be more frames than the camera takes at a time.
#[test]
fn every_order_with_fewer_requests_than_frames() {
    // Two streams are many orders: they are taken with the usual policy alone.
    for (place, policy) in POLICIES.into_iter().enumerate() {
        for (frames, most) in [(&[3][..], 1), (&[2, 1], 2)] {
            if place > 0 && frames.len() > 1 {
                continue;
            }
            let mut first = World::new(frames, policy);
            first.driver.limit_in_flight(most);
            first.most_in_flight = most;
            first.carried.truncate(most + 1);
            let usual = |event: &Event| match event {
                Event::Complete { how, .. } => matches!(how, How::Filled | How::Cancelled),
                Event::Act { refused } => !refused,
                Event::Flush | Event::MadeUp => false,
                event => !is_a_setting(event),
            };
            assert!(search_from(first, usual) > 500);
        }
    }
}

#[test]
fn every_order_of_a_control_and_what_becomes_of_requests() {
    let wanted = |event: &Event| match event {
        Event::Complete { how, .. } => matches!(how, How::Filled | How::Cancelled),
        Event::MadeUp | Event::Tick | Event::Flush => false,
        Event::Mute { .. } | Event::Policy { .. } => false,
        _ => true,
    };
    for frames in [&[2][..], &[1, 1]] {
        assert!(search(frames, Policy::default(), wanted) > 500);
    }
}

#[test]
fn every_order_of_pads_that_go_and_outboxes_of_the_latest() {
    let wanted = |event: &Event| match event {
        Event::Complete { how, .. } => matches!(how, How::Filled),
        Event::MadeUp | Event::Tick | Event::Set | Event::Gone => false,
        Event::Act { refused } => !refused,
        _ => true,
    };
    for frames in [&[2][..], &[1, 1], &[3]] {
        assert!(search(frames, Policy::default(), wanted) > 100);
    }
}

/// The last stream is on demand.
#[test]
fn every_order_of_stills_beside_a_stream() {
    let with_stills = |frames: &[u32], all_streams, most_stills, wanted| {
        let mut policy = policy(false, all_streams);
        policy.on_demand[frames.len() - 1] = true;
        let mut first = World::new(frames, policy);
        first.most_stills = most_stills;
        search_from(first, wanted)
    };
    let usual = |event: &Event| match event {
        Event::Complete { how, .. } => matches!(how, How::Filled),
        Event::Act { refused } => !refused,
        Event::Capture { .. } | Event::Take { .. } | Event::Return { .. } => true,
        _ => false,
    };
    let ending = |event: &Event| match event {
        Event::Complete { how, .. } => matches!(how, How::Filled),
        Event::Mute { stream } => *stream == 1,
        Event::Act { .. } | Event::Capture { .. } | Event::Take { .. } => true,
        Event::Return { .. } | Event::Eos => true,
        _ => false,
    };
    let failing = |event: &Event| match event {
        Event::Complete { how, .. } => !matches!(how, How::Damaged),
        Event::Act { .. } | Event::Capture { .. } | Event::Take { .. } => true,
        Event::Return { .. } | Event::Gone => true,
        _ => false,
    };
    let beside_a_control = |event: &Event| match event {
        Event::Complete { how, .. } => matches!(how, How::Filled | How::Cancelled),
        Event::Act { refused } => !refused,
        Event::Capture { .. } | Event::Set | Event::Take { .. } | Event::Return { .. } => true,
        _ => false,
    };
    for all_streams in [false, true] {
        assert!(with_stills(&[1, 1], all_streams, 2, usual) > 100);
        assert!(with_stills(&[1, 1], all_streams, 1, ending) > 100);
        assert!(with_stills(&[1, 1], all_streams, 1, failing) > 100);
        assert!(with_stills(&[1, 1], all_streams, 1, beside_a_control) > 100);
    }
    assert!(with_stills(&[2], false, 2, usual) > 100);
}

#[test]
fn every_order_of_what_two_streams_with_two_frames_do_all_day() {
    let usual = |event: &Event| match event {
        Event::Act { refused } => !refused,
        Event::Complete { how, .. } => matches!(how, How::Filled | How::WithoutLastStream),
        Event::Take { .. } | Event::Return { .. } => true,
        _ => false,
    };
    for all_streams in [false, true] {
        assert!(search(&[2, 2], policy(false, all_streams), usual) > 2000);
    }
}
