//! Frames that the camera exports: they travel as DMABUF memory. On a machine that has none, `tests/fake_udmabuf.c` stands in for /dev/udmabuf, in
//! a process of its own.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{path::PathBuf, process::Command};

use common::source::{Source, TINY, alone, levels};
use gst_allocators::DmaBufMemory;

const EXPORTING: &str = "SOURCE_EXPORTING";

/// Not a test of its own: the next one runs it in a process that has (or believes to have) /dev/udmabuf.
#[test]
fn exporting_process() {
    if std::env::var_os(EXPORTING).is_none() {
        return;
    }
    let _alone = alone("export");
    let source = Source::playing(&format!("libcamerasrc-rs name=source camera-name={TINY}"));
    let mut kept = None;
    for _ in 0..100 {
        let sample = source.pull().unwrap();
        let buffer = sample.buffer().unwrap();
        assert_eq!(buffer.n_memory(), 1, "both planes are in one DMABUF");
        assert!(buffer.peek_memory(0).is_memory_type::<DmaBufMemory>());
        assert_eq!(buffer.size(), 64 * 64 * 3 / 2);
        assert!(levels(&sample) >= 8);
        kept = Some(sample);
    }
    source.set_state(gst::State::Null);
    assert!(
        levels(&kept.unwrap()) >= 8,
        "what is kept outlives the camera"
    );
    println!("exported");
}

#[test]
fn exported_frames_are_dmabufs() {
    let _alone = alone("export, outside");
    let library = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("fake_udmabuf.{}.so", std::process::id()));
    let compiled = Command::new("cc")
        .args(["-O2", "-fPIC", "-shared", "-o"])
        .arg(&library)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fake_udmabuf.c"))
        .arg("-ldl")
        .status();
    assert!(compiled.unwrap().success());
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["exporting_process", "--exact", "--nocapture"])
        .env(EXPORTING, "1")
        .env("LD_PRELOAD", &library)
        .output()
        .unwrap();
    std::fs::remove_file(&library).unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("exported"),
        "{output:?}"
    );
}
