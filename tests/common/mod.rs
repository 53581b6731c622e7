//! What several tests share.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

pub mod client;
pub mod fd_wire;
pub mod frames;
pub mod producer;
pub mod random;
pub mod reader;
pub mod rig;
pub mod source;
pub mod source_rs;
pub mod watchdog;

use std::{
    os::unix::fs::MetadataExt,
    time::{Duration, Instant},
};

/// How much of something a test does: little, or with ENDURANCE=full much.
pub fn scale(little: u64, much: u64) -> u64 {
    match std::env::var("ENDURANCE").as_deref() {
        Ok("full") => much,
        _ => little,
    }
}

/// Waits until `condition` holds; panics with `what` if it does not in time.
pub fn wait_until(what: &str, timeout: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + timeout;
    while !condition() {
        assert!(Instant::now() < deadline, "waited {timeout:?} for: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Names of the file descriptors, threads and shared memory objects of this process, for comparison.
pub fn holdings() -> (usize, Vec<String>, Vec<String>) {
    let fds = std::fs::read_dir("/proc/self/fd").unwrap().count();
    let mut threads: Vec<String> = std::fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .collect();
    threads.sort();
    (fds, threads, areas_of(std::process::id()))
}

/// Whether this process holds no more than that. Threads and pipes that were about to end when it was looked at may have gone since.
pub fn holds_no_more_than((fds, threads, areas): &(usize, Vec<String>, Vec<String>)) -> bool {
    let now = holdings();
    now.0 <= *fds && now.1.len() <= threads.len() && now.2.len() <= areas.len()
}

/// The shared memory objects that a process has left in /dev/shm.
pub fn areas_of(pid: u32) -> Vec<String> {
    std::fs::read_dir("/dev/shm")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("libcamerars.") && name.contains(&format!(".{pid}.")))
        .collect()
}

/// Bytes of memory behind them.
pub fn memory_of(pid: u32) -> u64 {
    areas_of(pid)
        .iter()
        .filter_map(|name| std::fs::metadata(format!("/dev/shm/{name}")).ok())
        .map(|metadata| metadata.blocks() * 512)
        .sum()
}
