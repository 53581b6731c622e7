//! The bodies of the fuzz targets (`fuzz/`), with what is checked in, and with changed copies of it for a few seconds: fuzzing needs a nightly
//! compiler, and this goes with every run of the tests.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../fuzz/src/targets.rs"]
mod targets;
#[cfg(all(feature = "plugin", feature = "simulated"))]
#[path = "../fuzz/src/typed.rs"]
mod typed;

use std::{
    path::Path,
    time::{Duration, Instant},
};

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut files: Vec<_> = std::fs::read_dir(place)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
        .iter()
        .map(|file| std::fs::read(file).unwrap())
        .collect()
}

/// Bits, bytes, stretches and ends change, the same way every time.
struct Mutator(u64);

impl Mutator {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            let number = self.below(256) as u8;
            match self.below(6) {
                0 if !bytes.is_empty() => bytes[at] ^= 1 << (number % 8),
                1 if !bytes.is_empty() => bytes[at] = [0, 1, 127, 128, 255, number][self.below(6)],
                2 => bytes.insert(at, number),
                3 => bytes.truncate(at),
                4 if !bytes.is_empty() => {
                    bytes.remove(at);
                }
                _ => {
                    let from = self.below(other.len());
                    bytes.splice(
                        at.min(bytes.len())..,
                        other[from.min(other.len())..].iter().copied(),
                    );
                }
            }
        }
        bytes.truncate(8192);
    }
}

fn replay(target: &str, run: fn(&[u8])) {
    let corpus = corpus(target);
    assert!(corpus.len() >= 2, "the corpus of {target} is not there");
    for bytes in &corpus {
        run(bytes);
    }
    let mut mutator = Mutator(88_172_645_463_325_252);
    let begun = Instant::now();
    let mut runs = corpus.len();
    while begun.elapsed() < Duration::from_secs(2) {
        let mut bytes = corpus[mutator.below(corpus.len())].clone();
        let other = &corpus[mutator.below(corpus.len())];
        mutator.mutate(&mut bytes, other);
        run(&bytes);
        runs += 1;
    }
    println!(
        "{target}: {runs} inputs, {} of them checked in",
        corpus.len()
    );
}

#[test]
fn bytes_of_clients() {
    replay("client_bytes", targets::client_bytes);
}

#[test]
fn bytes_of_servers() {
    replay("server_bytes", targets::server_bytes);
}

#[test]
fn bytes_of_the_other_wire() {
    replay("fd_bytes", targets::fd_bytes);
}

#[test]
fn shared_memory() {
    replay("memory", targets::memory);
}

#[cfg(all(feature = "plugin", feature = "simulated"))]
#[test]
fn what_users_type() {
    replay("typed", typed::typed);
}
