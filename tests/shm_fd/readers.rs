//! Readers that are evicted, rude, or never read: they cost their window, and nobody else notices.

use std::{io::Write, os::fd::AsRawFd, time::Duration};

use gst::prelude::*;

use super::{
    SIZE, SOON, buffer, client,
    common::{
        fd_wire::{Said, command},
        frames::Generator,
        rig::alone,
        wait_until,
    },
    fd_rig, file, memory, ours, passable, references,
};

/// What an evicted reader keeps is the camera's again with the next frame.
#[test]
fn an_evicted_reader_keeps_no_frame_from_the_camera() {
    let _alone = alone("evicted");
    let mut rig = fd_rig("fdevict", &[]);
    let mut keeper = client(&rig);
    let whole = memory(file(0, true), SIZE);
    rig.push_buffer(buffer(vec![whole.clone()]));
    let _frame = keeper.frame();
    assert!(references(&whole) > 1);
    let stats = rig.client(std::process::id()).unwrap();
    let fd = stats.get::<i32>("fd").unwrap();
    assert!(rig.element.emit_by_name::<bool>("evict-client", &[&fd]));
    rig.wait_for_clients(0);
    let mut healthy = client(&rig);
    rig.push_buffer(passable(1));
    wait_until("it is back", SOON, || references(&whole) == 1);
    assert_eq!(
        Generator::new(SIZE).check(&healthy.frame().bytes()),
        Some(1)
    );
    assert!(matches!(keeper.hear(), Said::Closed));
}

/// Who gives back what he has not taken from his socket has no more descriptors under way than a reader needs.
#[test]
fn a_reader_that_acks_without_reading_fills_its_own_socket_only() {
    let _alone = alone("acks without reading");
    let mut rig = fd_rig("fdpeek", &[]);
    let mut peeker = client(&rig);
    let mut healthy = [rig.reader_with(&ours())];
    let first: libc::c_int = 0;
    // SAFETY: the kernel reads one int. Each look begins where the last has ended, and takes nothing.
    let set = unsafe {
        libc::setsockopt(
            peeker.0.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEEK_OFF,
            (&raw const first).cast(),
            size_of::<libc::c_int>() as u32,
        )
    };
    assert_eq!(set, 0);
    let mut seen = Vec::new();
    let mut acked = 0;
    for counter in 0..500 {
        rig.in_step(&mut healthy, counter..counter + 1);
        let mut bytes = [0; 4096];
        let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
        loop {
            // SAFETY: the buffer has that many bytes.
            let count = unsafe {
                libc::recv(
                    peeker.0.as_raw_fd(),
                    bytes.as_mut_ptr().cast(),
                    bytes.len(),
                    flags,
                )
            };
            if count <= 0 {
                break;
            }
            seen.extend_from_slice(&bytes[..count as usize]);
        }
        let word =
            |bytes: &[u8], at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
        while seen.len() >= 8 && seen.len() >= 8 + word(&seen, 4) as usize {
            let command: Vec<u8> = seen.drain(..8 + word(&seen, 4) as usize).collect();
            if word(&command, 0) == 0 {
                acked += 1;
                peeker.release(u64::from_ne_bytes(command[8..16].try_into().unwrap()));
            }
        }
    }
    println!("NOTE: {acked} frames given back that are on the socket yet");
    assert!((4..=60).contains(&acked), "{acked} frames on its socket");
    rig.assert_no_error();
    assert!(rig.stop() < Duration::from_millis(100));
}

#[test]
fn readers_without_manners_are_parted_with_and_nobody_else_notices() {
    let _alone = alone("without manners");
    let mut rig = fd_rig("fdhostile", &[]);
    let mut healthy = [rig.reader_with(&ours())];
    rig.in_step(&mut healthy, 0..5);
    let release = |id: u64| command(1, &id.to_ne_bytes());
    let long = |kind: u32| {
        let mut header = command(kind, b"");
        header[4..].copy_from_slice(&u32::MAX.to_ne_bytes());
        header
    };
    let rude: [(&str, Vec<u8>); 6] = [
        ("what was never sent", release(77)),
        ("a frame", command(0, &[0; 56])),
        ("caps", command(2, b"x\0")),
        ("half a release", command(1, &[0; 4])),
        ("a release of 4 GiB", long(1)),
        (
            "noise",
            vec![0xa5; 10_000].into_iter().chain(long(0)).collect(),
        ),
    ];
    let mut next = 5;
    for (what, bytes) in rude {
        let mut client = client(&rig);
        client.0.write_all(&bytes).unwrap();
        if what == "noise" {
            // An unknown command of a length beyond all.
            rig.in_step(&mut healthy, next..next + 5);
            next += 5;
            drop(client);
        }
        wait_until(what, SOON, || rig.num_clients() == 1);
        rig.in_step(&mut healthy, next..next + 5);
        next += 5;
    }
    // A release twice.
    let mut twice = client(&rig);
    rig.in_step(&mut healthy, next..next + 1);
    let frame = twice.frame();
    twice.release(frame.id);
    twice.release(frame.id);
    wait_until("a release twice", SOON, || rig.num_clients() == 1);
    // In pieces, with something from a later version in between, it is a reader like any other.
    let mut slow = client(&rig);
    rig.in_step(&mut healthy, next + 1..next + 2);
    let frame = slow.frame();
    slow.0.write_all(&command(1000, &[7; 5000])).unwrap();
    for byte in release(frame.id) {
        slow.0.write_all(&[byte]).unwrap();
    }
    wait_until("the release in pieces", SOON, || {
        rig.client_stat(std::process::id(), "acked") == 1
    });
    rig.assert_no_error();
}

/// More messages than its socket takes, with a descriptor each: only its own window is ever on the way.
#[test]
fn a_reader_that_never_reads_costs_its_window() {
    let _alone = alone("never reads");
    let mut rig = fd_rig("fdsilent", &[("stall-timeout", "50000000")]);
    let _silent = client(&rig);
    let mut healthy = [rig.reader_with(&ours())];
    rig.in_step(&mut healthy, 0..1000);
    assert_eq!(rig.client_stat(std::process::id(), "outstanding"), 4);
    assert_eq!(rig.stat("frames-published"), 1000);
    rig.assert_no_error();
    assert!(rig.stop() < Duration::from_millis(100));
}
