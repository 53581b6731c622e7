//! What runs in the machine of `tests/vm.sh`: a module for each job, and what they share. Elsewhere each test is skipped.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/offer.rs"]
mod offer;

/// The simulated USB camera, and its picture.
mod camera;
/// A source in a process of its own.
mod child;
/// Frames as DMABUFs: who exported them, their bytes as the kernel has them.
mod exported;

mod descriptors;
mod dmabuf;
mod drm;
mod examples;
mod import;
mod memory;
mod peer;
mod provider;
mod shm;
mod soak;
mod streams;
mod two;
mod unixfd;
mod unplug;
mod uvc;

use std::{sync::MutexGuard, time::Duration};

use common::{source, watchdog::Watchdog};

/// One test at a time. `None` elsewhere than in the machine: the test is skipped.
pub fn in_machine() -> Option<(MutexGuard<'static, ()>, Watchdog)> {
    in_machine_for(Duration::from_secs(60))
}

/// The same for a test that takes longer.
pub fn in_machine_for(limit: Duration) -> Option<(MutexGuard<'static, ()>, Watchdog)> {
    let test = test_name();
    if std::env::var_os(camera::FOLDER).is_none() {
        println!("SKIPPED: {test}: runs in the machine of tests/vm.sh only");
        return None;
    }
    Some(source::alone_for(&test, limit))
}

/// libtest gives each test's thread its name.
pub fn test_name() -> String {
    std::thread::current().name().unwrap_or_default().to_owned()
}

/// Not a test of its own: others run it as a reader of shared memory, in a process of its own.
#[test]
fn reader_process() {
    common::reader::run_if_asked();
}

/// Not a test of its own: others run it as a program that has a source.
#[test]
fn child_process() {
    child::run_if_asked();
}

/// Not a test of its own: others run it as a user who may open no device.
#[test]
fn user_process() {
    memory::run_if_asked();
}
