//! Long random runs of bigger worlds.

use gstlibcamerars::capture::{driver::Policy, stills::StreamSet};
use proptest::prelude::*;

use super::{Event, World};

fn arbitrary_event() -> impl Strategy<Value = (u32, u32)> {
    (any::<u32>(), any::<u32>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn long_runs_of_bigger_worlds(
        frames in prop::collection::vec(1..6u32, 1..4),
        all_streams: bool,
        paced: bool,
        on_demand: StreamSet,
        choices in prop::collection::vec(arbitrary_event(), 400),
    ) {
        let mut world = World::new(&frames, Policy { paced, all_streams, on_demand });
        for (choice, rare) in choices {
            let mut events = world.events();
            // What ends everything comes seldom, or there would be no long run.
            if !rare.is_multiple_of(64) {
                let ends = |event: &Event| {
                    matches!(
                        event,
                        Event::Eos | Event::Gone | Event::Stop | Event::Mute { .. } | Event::Act { refused: true }
                    )
                };
                events.retain(|event| !ends(event));
            }
            world.apply(events[choice as usize % events.len()]);
        }
    }
}
