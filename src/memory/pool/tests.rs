#![allow(clippy::unwrap_used)]

use super::*;
use crate::camera::Plane;
use crate::os::memfd;
use crate::sync::atomic::{AtomicUsize, Ordering};

fn layout(planes: &[(u32, u32)]) -> FrameLayout {
    named_layout("test-frame", planes)
}

fn named_layout(name: &str, planes: &[(u32, u32)]) -> FrameLayout {
    let end = planes
        .iter()
        .map(|(offset, length)| offset + length)
        .max()
        .unwrap();
    let fd = Arc::new(memfd::create_sealable(name, end.into()).unwrap());
    let plane = |(offset, length): &(u32, u32)| Plane {
        fd: fd.clone(),
        offset: *offset,
        length: *length,
    };
    FrameLayout {
        planes: planes.iter().map(plane).collect(),
    }
}

/// A frame of two file descriptors.
fn two_memories() -> FrameLayout {
    let (first, second) = (layout(&[(0, 64)]), layout(&[(0, 32)]));
    FrameLayout {
        planes: [first.planes, second.planes].concat(),
    }
}

fn pool(frames: &[FrameLayout]) -> (FramePool, Arc<Mutex<Vec<FrameId>>>) {
    gst::init().unwrap();
    let returned = Arc::new(Mutex::new(Vec::new()));
    let seen = returned.clone();
    let pool = FramePool::new(
        Memories::Files(frames, MemoryKind::Fd),
        None,
        move |frame| seen.lock().push(frame),
    );
    (pool.unwrap(), returned)
}

/// How many of this process's file descriptors are of memory of that name.
fn open_memory(name: &str) -> usize {
    std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter(|link| link.to_string_lossy().contains(name))
        .count()
}

#[test]
fn a_frame_is_back_when_its_buffer_is_dropped_and_goes_round() {
    let (pool, returned) = pool(&[layout(&[(0, 64), (64, 32)]), layout(&[(0, 64), (64, 32)])]);
    for round in 1..=100 {
        let buffer = pool.buffer(FrameId(1)).unwrap();
        assert_eq!(
            (buffer.n_memory(), buffer.size()),
            (1, 96),
            "planes of one file are one memory"
        );
        assert_eq!(returned.lock().len(), round - 1);
        drop(buffer);
        assert_eq!(returned.lock().len(), round);
    }
    assert!(returned.lock().iter().all(|frame| *frame == FrameId(1)));
}

#[test]
fn memories_rest_in_their_buffer_unless_somebody_has_one() {
    let (pool, returned) = pool(&[two_memories(), two_memories()]);
    let first = pool.buffer(FrameId(0)).unwrap();
    let place = first.as_ptr();
    drop(first);
    let again = pool.buffer(FrameId(0)).unwrap();
    assert_eq!(again.as_ptr(), place, "it is the same buffer");
    assert_ne!(
        pool.buffer(FrameId(1)).unwrap().as_ptr(),
        place,
        "another frame is in another"
    );
    let kept = again.memory(0).unwrap();
    drop(again);
    assert_eq!(*returned.lock(), [FrameId(0), FrameId(1)]);
    drop(kept);
    assert_eq!(returned.lock().len(), 3, "by its last memory");
    let mut buffer = pool.buffer(FrameId(0)).unwrap();
    assert_eq!((buffer.n_memory(), buffer.size()), (2, 96));
    buffer.get_mut().unwrap().set_size(40);
    drop(buffer);
    let buffer = pool.buffer(FrameId(0)).unwrap();
    assert_eq!((buffer.n_memory(), buffer.size()), (2, 96));
}

#[test]
fn a_memory_kept_beyond_its_buffer_keeps_the_frame() {
    let (pool, returned) = pool(&[two_memories()]);
    let buffer = pool.buffer(FrameId(0)).unwrap();
    let kept = buffer.memory(1).unwrap();
    let part = buffer.peek_memory(0).share(8..16);
    drop(buffer);
    assert!(returned.lock().is_empty());
    drop(kept);
    assert!(
        returned.lock().is_empty(),
        "a part of the other memory is still held"
    );
    drop(part);
    assert_eq!(*returned.lock(), [FrameId(0)]);
}

#[test]
fn what_a_consumer_did_to_a_buffer_is_undone() {
    let (pool, _returned) = pool(&[layout(&[(0, 96)])]);
    let mut buffer = pool.buffer(FrameId(0)).unwrap();
    let writable = buffer.get_mut().unwrap();
    writable.set_size(10);
    writable.set_pts(gst::ClockTime::SECOND);
    writable.set_flags(gst::BufferFlags::CORRUPTED);
    drop(buffer);
    let buffer = pool.buffer(FrameId(0)).unwrap();
    assert_eq!((buffer.size(), buffer.pts()), (96, None));
    assert!(!buffer.flags().contains(gst::BufferFlags::CORRUPTED));
}

#[test]
fn every_round_says_where_the_planes_lie() {
    gst::init().unwrap();
    let planes = PlaneLayout {
        format: gst_video::VideoFormat::Nv12,
        width: 8,
        height: 4,
        offsets: vec![0, 64],
        strides: vec![16, 16],
    };
    let pool = FramePool::new(
        Memories::Files(&[layout(&[(0, 96)])], MemoryKind::Fd),
        Some(planes),
        |_| (),
    )
    .unwrap();
    for _ in 0..3 {
        let buffer = pool.buffer(FrameId(0)).unwrap();
        let meta = buffer.meta::<gst_video::VideoMeta>().unwrap();
        assert_eq!(
            (meta.offset(), meta.stride()),
            ([0, 64].as_slice(), [16, 16].as_slice())
        );
        assert_eq!(buffer.iter_meta::<gst_video::VideoMeta>().count(), 1);
    }
}

#[test]
fn memory_kept_beyond_the_pools_end_keeps_its_file_and_nothing_else() {
    let name = "kept-beyond-the-pool";
    let (pool, returned) = pool(&[
        named_layout(name, &[(0, 4096)]),
        named_layout(name, &[(0, 4096)]),
    ]);
    assert_eq!(
        open_memory(name),
        2,
        "one for each frame, as the layouts' own are gone"
    );
    let mut buffer = pool.buffer(FrameId(0)).unwrap();
    buffer.get_mut().unwrap().map_writable().unwrap().fill(7);
    pool.close();
    let weak = pool.downgrade();
    drop(pool);
    assert!(buffer.map_readable().unwrap().iter().all(|byte| *byte == 7));
    assert_eq!(open_memory(name), 1, "the one that is held");
    drop(buffer);
    assert!(returned.lock().is_empty(), "nobody is told after the end");
    assert!(weak.upgrade().is_none());
    assert_eq!(open_memory(name), 0);
}

#[test]
fn strangers_cannot_take_a_frame() {
    let (pool, _returned) = pool(&[layout(&[(0, 64)])]);
    assert_eq!(pool.acquire_buffer(None).err(), Some(gst::FlowError::Error));
    assert_eq!(
        pool.buffer(FrameId(5)).err(),
        Some(gst::FlowError::Flushing)
    );
    let held = pool.buffer(FrameId(0)).unwrap();
    let again = pool.buffer(FrameId(0)).err();
    assert_eq!(again, Some(gst::FlowError::Error), "it is in use");
    drop(held);
    pool.close();
    assert_eq!(
        pool.buffer(FrameId(0)).err(),
        Some(gst::FlowError::Flushing)
    );
}

#[test]
fn buffer_notify_comes_with_the_last_memory() {
    let (pool, returned) = pool(&[two_memories()]);
    let notified = Arc::new(AtomicUsize::new(0));
    let counted = notified.clone();
    let already_back = returned.clone();
    pool.connect("buffer-notify", false, move |_| {
        assert_eq!(
            already_back.lock().len(),
            1,
            "the frame is back before anybody hears of it"
        );
        counted.fetch_add(1, Ordering::SeqCst);
        None
    });
    let buffer = pool.buffer(FrameId(0)).unwrap();
    let kept = buffer.memory(0).unwrap();
    drop(buffer);
    assert_eq!(notified.load(Ordering::SeqCst), 0);
    drop(kept);
    assert_eq!(notified.load(Ordering::SeqCst), 1);
}

#[test]
fn frames_come_back_from_any_thread() {
    let frames: Vec<FrameLayout> = (0..4).map(|_| two_memories()).collect();
    let (pool, returned) = pool(&frames);
    for _ in 0..200 {
        let buffers: Vec<gst::Buffer> = (0..4)
            .map(|frame| pool.buffer(FrameId(frame)).unwrap())
            .collect();
        std::thread::scope(|scope| {
            for buffer in buffers {
                let memory = buffer.memory(0).unwrap();
                scope.spawn(move || drop(memory));
                scope.spawn(move || drop(buffer));
            }
        });
        let mut back = std::mem::take(&mut *returned.lock());
        back.sort_by_key(|frame| frame.0);
        assert_eq!(back, [0, 1, 2, 3].map(FrameId));
    }
}
