//! Long random histories of larger servers.

use proptest::prelude::*;

use super::world::{Step, World};

fn any_step() -> impl Strategy<Value = Step> {
    let index = || any::<usize>();
    prop_oneof![
        2 => Just(Step::Connect),
        1 => index().prop_map(Step::Disconnect),
        1 => index().prop_map(Step::Evict),
        12 => Just(Step::Publish),
        12 => (index(), index()).prop_map(|(client, frame)| Step::Ack(client, frame)),
        20 => index().prop_map(Step::Transmit),
        4 => Just(Step::Reserve),
        1 => (1u64..200_000).prop_map(Step::NewArea),
        1 => (6u64..60).prop_map(Step::AreaSize),
        2 => Just(Step::Claim),
        2 => Just(Step::Push),
        2 => Just(Step::LetGo),
        2 => (1u64..3000).prop_map(Step::Time),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn frames_grow_and_promises_are_kept_whatever_happens(
        window in 2usize..6,
        max_clients in 1usize..5,
        surplus in 0u64..12,
        upstream in 0usize..3,
        mailbox in any::<bool>(),
        steps in proptest::collection::vec(any_step(), 1..400),
    ) {
        let slots = 2 + (window * max_clients + upstream) as u64 + surplus;
        let mut world = World::new(window, max_clients, Some(slots), upstream);
        world.server.set_mailbox(mailbox);
        for step in steps {
            world.take(step);
        }
    }
}
