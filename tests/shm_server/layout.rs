//! Where the slots of an area lie, and what fits into a bound.

use std::collections::BTreeSet;

use gstlibcamerars::shm::layout::{Layout, LayoutError, Limits, MAX_AREAS};

use super::limits;

#[test]
fn areas_that_live_together_share_no_offset() {
    let limits = limits(4, 4);
    let mut seen = BTreeSet::new();
    for colour in 0..MAX_AREAS {
        // Of different sizes, so that the strides differ.
        let layout = Layout::new(1, colour, 100_000 + colour as u64 * 1000, &limits).unwrap();
        assert_eq!(layout.stride % 65536, 0);
        for slot in 0..layout.slots {
            let offset = layout.offset(slot);
            assert_eq!(offset % 4096, 0);
            assert!(offset + layout.capacity <= layout.bytes_of(slot + 1));
            assert!(seen.insert(offset), "colour {colour} slot {slot}");
        }
    }
}

#[test]
fn a_bound_that_cannot_be_kept_says_what_is_needed() {
    let limits = Limits {
        window: 4,
        max_clients: 16,
        area_size: Some(64 << 20),
        upstream: 0,
    };
    let error = Layout::new(1, 0, 3_110_400, &limits).unwrap_err();
    let LayoutError::OverLimit { needed, .. } = error.clone() else {
        panic!("{error}");
    };
    assert!(error.to_string().contains(&needed.to_string()), "{error}");
    assert!(error.to_string().contains("shm-size"), "{error}");
    for colour in 0..MAX_AREAS {
        let enough = Limits {
            area_size: Some(needed),
            ..limits
        };
        assert!(Layout::new(1, colour, 3_110_400, &enough).is_ok());
    }
    assert!(matches!(
        Layout::new(1, 0, 1 << 31, &limits),
        Err(LayoutError::FrameTooLarge { .. })
    ));
}
