//! The capture driver in every order of events: a breadth-first search over all that can happen to two streams of two frames, and long random
//! runs of bigger ones. The world beside the driver keeps its own book of where each frame is, and compares.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod check;
mod rule;
mod runs;
mod search;
mod steps;

use std::collections::VecDeque;

use gstlibcamerars::{
    camera::{ControlId, ControlValue, Controls, FrameId, FrameSet, RequestId, Scalar},
    capture::{
        driver::{Driver, Policy},
        stills::StillId,
        stream::OutboxPolicy,
    },
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// The capture task does the next thing; the camera takes the request, or refuses it.
    Act {
        refused: bool,
    },
    /// The n-th request that the camera has, in any order.
    Complete {
        nth: usize,
        how: How,
    },
    /// The completion of a request that the camera does not have, and the return of every frame that nobody holds.
    MadeUp,
    Take {
        stream: usize,
    },
    /// The n-th frame that the stream's consumer holds.
    Return {
        stream: usize,
        nth: usize,
    },
    /// The application sets the one control to another value.
    Set,
    /// The application wants a still of a stream on demand, for which the one control has a value of its own.
    Capture {
        stream: usize,
    },
    /// The pad of a stream goes.
    Mute {
        stream: usize,
    },
    Policy {
        stream: usize,
        policy: OutboxPolicy,
    },
    Tick,
    Flush,
    Eos,
    Gone,
    Stop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Filled,
    Damaged,
    Cancelled,
    WithoutLastStream,
}

#[derive(Clone, Copy, Debug)]
struct WithCamera {
    request: RequestId,
    frames: FrameSet,
    /// What it brings, and whether no later request brings the control anew.
    control: Option<(i32, bool)>,
    still: Option<BookedStill>,
}

/// A still that was asked for, and the stream that it is to be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BookedStill {
    id: StillId,
    stream: usize,
}

/// Where the one control's value is.
#[derive(Clone, Debug, Default)]
struct ControlBook {
    wanted: Option<i32>,
    pending: Option<i32>,
    applied: bool,
    /// How often it came back since it was set.
    setbacks: u32,
    /// It came back too often, and is not sent any more.
    given_up: bool,
    /// That is still to be told.
    untold: u32,
}

const CONTROL: ControlId = ControlId(7);

/// Its value for a still, and before anybody has set it.
const PASSING: i32 = 9;
const UNSET: i32 = 0;

/// Outstanding at once, where nothing else is said. More make more states than can be visited.
const MOST_STILLS: usize = 2;

#[derive(Clone, Debug)]
struct World {
    driver: Driver,
    policy: Policy,
    frames: Vec<u32>,
    // The world's own book.
    camera: Vec<WithCamera>,
    control: ControlBook,
    most_stills: usize,
    stills: VecDeque<BookedStill>,
    /// Whether it was taken.
    outcomes: VecDeque<(StillId, bool)>,
    policies: Vec<OutboxPolicy>,
    muted: Vec<bool>,
    outbox: Vec<VecDeque<(FrameId, Option<StillId>)>>,
    downstream: Vec<Vec<FrameId>>,
    /// What each request carried in its last round.
    carried: Vec<FrameSet>,
    last_completed: Option<RequestId>,
    most_in_flight: usize,
    ticked: bool,
    /// Nothing is queued any more.
    failed: bool,
    /// The streams end behind what waits.
    ending: bool,
    cancelled_in_a_row: u32,
    ended: Vec<bool>,
    failures: u32,
    reports: u32,
    stopped: bool,
}

impl World {
    fn new(frames: &[u32], policy: Policy) -> Self {
        let streams = frames.len();
        let driver = Driver::new(frames, policy);
        Self {
            carried: vec![FrameSet::default(); driver.request_count() as usize],
            last_completed: None,
            most_in_flight: usize::MAX,
            driver,
            policy,
            frames: frames.to_vec(),
            camera: Vec::new(),
            control: ControlBook::default(),
            most_stills: MOST_STILLS,
            stills: VecDeque::new(),
            outcomes: VecDeque::new(),
            policies: vec![OutboxPolicy::Queue; streams],
            muted: vec![false; streams],
            outbox: vec![VecDeque::new(); streams],
            downstream: vec![Vec::new(); streams],
            ticked: true,
            failed: false,
            ending: false,
            cancelled_in_a_row: 0,
            ended: vec![false; streams],
            failures: 0,
            reports: 0,
            stopped: false,
        }
    }
}

fn control(value: i32) -> Controls {
    [(CONTROL, ControlValue::One(Scalar::I32(value)))]
        .into_iter()
        .collect()
}
