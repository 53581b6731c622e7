//! Flow control of the pure server: every state of small servers, and long random histories of larger ones.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod clients;
mod histogram;
mod lending;
mod runs;
mod search;
mod world;

use std::time::Duration;

const SLOT: u64 = 65536;
const SECOND: Duration = Duration::from_secs(1);
