//! The wire: golden bytes, every cut of a message, and bytes that are none.

use gstlibcamerars::shm::wire::{AckParser, MESSAGE_SIZE, Message, NotAnAck};
use proptest::prelude::*;

fn encoded(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    bytes
}

fn ack(area: u32, offset: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&4u32.to_ne_bytes());
    bytes.extend_from_slice(&area.to_ne_bytes());
    bytes.extend_from_slice(&offset.to_ne_bytes());
    bytes.extend_from_slice(&[0; 8]);
    bytes
}

#[test]
#[cfg(target_endian = "little")]
fn messages_are_the_stock_elements_bytes() {
    // The greeting of a stock shmsink with its default 64 MiB, as seen on the wire.
    let mut greeting = vec![
        1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0x15, 0, 0, 0, 0, 0, 0, 0,
    ];
    greeting.extend_from_slice(b"/shmpipe.26988.    0\0");
    let message = Message::NewArea {
        generation: 1,
        length: 64 << 20,
        name: "/shmpipe.26988.    0",
    };
    assert_eq!(encoded(&message), greeting);
    assert_eq!(
        encoded(&Message::CloseArea { generation: 7 }),
        [
            2, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
        ]
    );
    assert_eq!(
        encoded(&Message::NewBuffer {
            generation: 2,
            offset: 0x0102_0304_0506,
            size: 6_240_000
        }),
        [
            3, 0, 0, 0, 2, 0, 0, 0, 6, 5, 4, 3, 2, 1, 0, 0, 0, 0x37, 0x5f, 0, 0, 0, 0, 0
        ]
    );
}

#[test]
fn acks_are_parsed_however_they_are_cut() {
    let stream: Vec<u8> = [ack(1, 4096), ack(9, 0), ack(2, u64::MAX)].concat();
    for first in 0..=stream.len() {
        for second in first..=stream.len() {
            let mut parser = AckParser::default();
            let mut offsets = Vec::new();
            for mut piece in [&stream[..first], &stream[first..second], &stream[second..]] {
                while let Some(ack) = parser.next(&mut piece).unwrap() {
                    offsets.push(ack.offset);
                }
            }
            assert_eq!(offsets, [4096, 0, u64::MAX], "cut at {first} and {second}");
        }
    }
}

#[test]
fn no_prefix_of_an_ack_is_one() {
    let message = ack(1, 77);
    for length in 0..MESSAGE_SIZE {
        let mut parser = AckParser::default();
        assert_eq!(parser.next(&mut &message[..length]), Ok(None));
    }
}

#[test]
fn every_other_type_is_an_error() {
    for kind in [0u32, 1, 2, 3, 5, 0x0400_0000, u32::MAX] {
        let mut message = ack(1, 0);
        message[..4].copy_from_slice(&kind.to_ne_bytes());
        assert_eq!(
            AckParser::default().next(&mut message.as_slice()),
            Err(NotAnAck { kind })
        );
    }
}

proptest! {
    #[test]
    fn no_bytes_of_a_client_upset_the_parser(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
        let mut parser = AckParser::default();
        let mut rest = bytes.as_slice();
        while let Ok(Some(_)) = parser.next(&mut rest) {}
    }
}
