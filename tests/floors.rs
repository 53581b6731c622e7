//! The ladder of floors: a file of `src/` uses only lower floors, or its own folder. `src/lib.rs` shows the table. And how long a file may be.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    fs,
    path::{Path, PathBuf},
};

const FLOORS: &[(&str, u8)] = &[
    ("sync", 0),
    ("camera", 1),
    ("histogram", 1),
    ("capture", 2),
    ("shm", 2),
    ("backend", 3),
    ("os", 3),
    ("video", 4),
    ("controls", 4),
    ("memory", 4),
    ("notes", 4),
    ("deviceprovider", 5),
    ("libcamerasrc", 5),
    ("shmsink", 5),
    ("shmsrc", 5),
];
const GSTREAMER_FROM: u8 = 4;
const GSTREAMER: &[&str] = &["gst", "gst_base", "gst_video", "gst_allocators", "glib"];
const UNSAFE_ROOMS: &[&str] = &[
    "backend/libcamera",
    "os",
    "memory",
    "libcamerasrc/base_src.rs",
    "controls/enum_type.rs",
];

fn floor_of(room: &str) -> Option<u8> {
    FLOORS
        .iter()
        .find(|(name, _)| *name == room)
        .map(|(_, floor)| *floor)
}

/// The files with such endings below a folder.
fn files_of(dir: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_of(&path, endings, found);
        } else if has_ending(&path, endings) {
            found.push(path);
        }
    }
}

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    path.extension()
        .is_some_and(|extension| endings.iter().any(|ending| extension == *ending))
}

/// The code of a line, without its comment. Good enough for paths, which no string of ours contains.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

/// Every path of `text` that starts with `root::`, as its next segment.
fn next_segments<'a>(text: &'a str, root: &str) -> Vec<&'a str> {
    let pattern = format!("{root}::");
    text.match_indices(&pattern)
        .filter(|(at, _)| {
            !text[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
        })
        .map(|(at, _)| {
            let rest = &text[at + pattern.len()..];
            let end = rest
                .find(|c: char| !(c.is_alphanumeric() || c == '_'))
                .unwrap_or(rest.len());
            &rest[..end]
        })
        .collect()
}

/// What is wrong with one file, a line for each.
fn faults(file: &str, text: &str) -> Vec<String> {
    let room = file.split('/').next().unwrap().trim_end_matches(".rs");
    let mut faults = Vec::new();
    if room == "lib" {
        return faults;
    }
    let Some(floor) = floor_of(room) else {
        return vec![format!("{file}: `{room}` is on no floor of the table")];
    };
    for (index, line) in text.lines().enumerate() {
        let line_number = index + 1;
        let code = code(line);
        for used in next_segments(code, "crate") {
            match floor_of(used) {
                Some(other) if other < floor || used == room => (),
                Some(other) => faults.push(format!(
                    "{file}:{line_number}: floor {floor} uses `{used}` of floor {other}"
                )),
                None => faults.push(format!(
                    "{file}:{line_number}: `crate::{used}` names no room; one use per line keeps the floors readable"
                )),
            }
        }
        if floor < GSTREAMER_FROM {
            for name in GSTREAMER {
                if !next_segments(code, name).is_empty() {
                    faults.push(format!("{file}:{line_number}: `{name}` on floor {floor}"));
                }
            }
        }
        let names_threads = next_segments(code, "std").contains(&"sync")
            || !next_segments(code, "parking_lot").is_empty()
            || !next_segments(code, "loom").is_empty();
        if names_threads && file != "sync.rs" {
            faults.push(format!(
                "{file}:{line_number}: only sync.rs names std::sync, parking_lot or loom"
            ));
        }
        if code.contains("unsafe {") && !UNSAFE_ROOMS.iter().any(|room| file.starts_with(room)) {
            faults.push(format!(
                "{file}:{line_number}: unsafe outside {UNSAFE_ROOMS:?}"
            ));
        }
    }
    faults
}

#[test]
fn no_file_uses_a_higher_floor() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    files_of(&src, &["rs"], &mut files);
    assert!(
        files.len() >= FLOORS.len(),
        "only {} files found",
        files.len()
    );
    let faults: Vec<String> = files
        .iter()
        .flat_map(|path| {
            let name = path.strip_prefix(&src).unwrap().to_str().unwrap();
            faults(name, &fs::read_to_string(path).unwrap())
        })
        .collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

const LONGEST: usize = 600;

#[test]
fn no_file_is_longer_than_the_limit() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for dir in ["src", "tests", "benches", "examples", "pipelines", "fuzz"] {
        let before = files.len();
        files_of(&root.join(dir), &["rs", "sh", "py", "c"], &mut files);
        assert!(files.len() > before, "nothing found in {dir}");
    }
    let too_long: Vec<String> = files
        .iter()
        .filter_map(|path| {
            let lines = fs::read_to_string(path).unwrap().lines().count();
            (lines > LONGEST).then(|| format!("{}: {lines} lines", path.display()))
        })
        .collect();
    assert!(
        too_long.is_empty(),
        "more than {LONGEST} lines:\n{}",
        too_long.join("\n")
    );
}

/// The rooms that a page names, each with the floor that it says: `| 4 | `video/` | ...`.
fn rooms_of_page(page: &str) -> Vec<(String, u8)> {
    page.lines()
        .filter_map(|line| {
            let mut cells = line.split('|').map(str::trim).skip(1);
            let floor = cells.next()?.parse().ok()?;
            let room = cells.next()?.trim_matches(['`', '/']);
            (room != "lib.rs").then(|| (room.to_owned(), floor))
        })
        .collect()
}

/// The rooms of the figure, which are its texts of that class.
fn rooms_of_figure(figure: &str) -> Vec<String> {
    let texts = figure.split("<text").skip(1);
    texts
        .filter(|text| text.split('>').next().unwrap().contains("room"))
        .map(|text| text.split(['>', '<']).nth(1).unwrap().to_owned())
        .collect()
}

#[test]
fn the_architecture_page_names_every_room_and_no_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/architecture.md")).unwrap();
    let figure = fs::read_to_string(root.join("docs/floors.svg")).unwrap();
    let mut there: Vec<String> = fs::read_dir(root.join("src"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "lib.rs")
        .map(|name| name.trim_end_matches(".rs").to_owned())
        .collect();
    there.sort();
    let mut named = rooms_of_page(&page);
    for (room, floor) in &named {
        assert_eq!(floor_of(room), Some(*floor), "the floor of {room}");
    }
    named.sort();
    let named: Vec<String> = named.into_iter().map(|(room, _)| room).collect();
    assert_eq!(named, there, "docs/architecture.md");
    let mut drawn = rooms_of_figure(&figure);
    drawn.sort();
    assert_eq!(drawn, there, "docs/floors.svg");
    // Files, and folders of tests, that it sends somebody to.
    for word in page.split('`').skip(1).step_by(2) {
        let is_place = has_ending(Path::new(word), &["rs", "sh"]) || word.starts_with("tests/");
        if is_place && word.contains('/') && !word.contains('*') {
            let exists = root.join(word).exists() || root.join("src").join(word).exists();
            assert!(
                exists,
                "docs/architecture.md names {word}, which is not there"
            );
        }
    }
}

#[test]
fn the_checker_sees_each_kind_of_fault() {
    for (file, text) in [
        ("capture/driver.rs", "use crate::backend::Camera;"),
        ("camera/mod.rs", "use crate::shm::wire;"),
        ("capture/driver.rs", "use crate::shm::wire;"),
        ("os/socket.rs", "let clock = gst::SystemClock::obtain();"),
        ("video/caps.rs", "use std::sync::Mutex;"),
        ("shmsink/imp.rs", "unsafe { libc::close(3) };"),
        ("attic/mod.rs", ""),
    ] {
        assert_eq!(faults(file, text).len(), 1, "{file}: {text}");
    }
    for (file, text) in [
        ("libcamerasrc/imp.rs", "use crate::capture::driver::Driver;"),
        (
            "shm/server.rs",
            "use crate::shm::wire; // crate::shmsink::x in a comment",
        ),
        (
            "memory/pool.rs",
            "unsafe { gst::ffi::gst_mini_object_ref(object) };",
        ),
    ] {
        assert_eq!(faults(file, text), Vec::<String>::new());
    }
}
