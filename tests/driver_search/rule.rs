//! What may happen next, and what the driver ought to do then, by the words of the rule.

use gstlibcamerars::{
    camera::FrameId,
    capture::{stills::StillId, stream::OutboxPolicy},
};

use super::{BookedStill, Event, How, World};

impl World {
    pub fn is_free(&self, stream: usize, frame: FrameId) -> bool {
        frame.0 < self.frames[stream]
            && !self.outbox[stream].iter().any(|(other, _)| *other == frame)
            && !self.downstream[stream].contains(&frame)
            && !self
                .camera
                .iter()
                .any(|carried| carried.frames[stream] == Some(frame))
    }

    /// Whether a request ought to be made now, by the words of the rule.
    pub fn is_queueable(&self) -> bool {
        let has_free = |stream: usize| {
            (0..self.frames[stream]).any(|frame| self.is_free(stream, FrameId(frame)))
        };
        let continuous: Vec<usize> = (0..self.frames.len())
            .filter(|stream| !self.is_on_demand(*stream))
            .collect();
        let with_frames = continuous
            .iter()
            .filter(|stream| has_free(**stream))
            .count();
        let due = !self.policy.paced || self.ticked;
        let few = |stream: &usize| self.frames[*stream] <= 3;
        let dry = self.camera.len() < if continuous.iter().any(few) { 1 } else { 2 };
        let rides = self.riding().is_some();
        let all = if continuous.is_empty() {
            rides
        } else {
            with_frames == continuous.len()
        };
        let partly = (with_frames > 0 || rides) && dry && !self.policy.all_streams;
        let takes_more = self.camera.len() < self.most_in_flight;
        !self.ending && !self.failed && due && takes_more && (all || partly)
    }

    pub fn is_on_demand(&self, stream: usize) -> bool {
        self.policy.on_demand[stream]
    }

    /// The place of the still that the next request takes along: the first one of its stream, where that has a frame.
    pub fn riding(&self) -> Option<usize> {
        self.stills.iter().position(|still| {
            let of_stream = |other: &&BookedStill| other.stream == still.stream;
            self.stills.iter().find(of_stream) == Some(still)
                && (0..self.frames[still.stream])
                    .any(|frame| self.is_free(still.stream, FrameId(frame)))
        })
    }

    /// One that is not outstanding.
    pub fn new_still(&self, stream: usize) -> BookedStill {
        let outstanding = |id: &StillId| {
            let with_camera = self
                .camera
                .iter()
                .filter_map(|carried| carried.still.as_ref());
            let mut booked = self.stills.iter().chain(with_camera);
            let mut waiting = self.outbox.iter().flatten();
            booked.any(|still| still.id == *id)
                || self.outcomes.iter().any(|(told, _)| told == id)
                || waiting.any(|(_, still)| *still == Some(*id))
        };
        let ids = (0..).map(|capture| StillId { capture, index: 0 });
        let id = ids.into_iter().find(|id| !outstanding(id)).unwrap();
        BookedStill { id, stream }
    }

    pub fn events(&self) -> Vec<Event> {
        let mut events = vec![Event::MadeUp];
        if self.driver.has_work() {
            events.extend([Event::Act { refused: false }, Event::Act { refused: true }]);
        }
        for nth in 0..self.camera.len() {
            let hows = [
                How::Filled,
                How::Damaged,
                How::Cancelled,
                How::WithoutLastStream,
            ];
            events.extend(hows.map(|how| Event::Complete { nth, how }));
        }
        for stream in 0..self.frames.len() {
            let other = match self.policies[stream] {
                OutboxPolicy::Queue => OutboxPolicy::Latest,
                OutboxPolicy::Latest => OutboxPolicy::Queue,
            };
            events.extend([
                Event::Take { stream },
                Event::Mute { stream },
                Event::Policy {
                    stream,
                    policy: other,
                },
            ]);
            events.extend(
                (0..self.downstream[stream].len()).map(|nth| Event::Return { stream, nth }),
            );
        }
        let with_camera = self.camera.iter().filter(|carried| carried.still.is_some());
        let waiting = self.outbox.iter().flatten();
        let waiting = waiting.filter(|(_, still)| still.is_some()).count();
        let outstanding = self.stills.len() + with_camera.count() + waiting + self.outcomes.len();
        if outstanding < self.most_stills && !self.stopped {
            let streams = (0..self.frames.len()).filter(|stream| self.is_on_demand(*stream));
            events.extend(streams.map(|stream| Event::Capture { stream }));
        }
        if !self.stopped {
            events.extend([
                Event::Set,
                Event::Tick,
                Event::Flush,
                Event::Eos,
                Event::Gone,
                Event::Stop,
            ]);
        }
        events
    }
}
