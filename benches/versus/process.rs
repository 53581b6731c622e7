//! What a process uses, as the kernel counts it for each of its threads.

use super::say;
use std::{fs, time::Instant};

/// Threads that end between two readings would be missed; in a steady window none does.
pub struct Usage {
    at: Instant,
    pub seconds: f64,
    /// In nanoseconds, user and system.
    cpu: f64,
    voluntary: f64,
    involuntary: f64,
}

impl Usage {
    pub fn of(pid: u32) -> Self {
        let (mut cpu, mut voluntary, mut involuntary) = (0.0, 0.0, 0.0);
        for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
            let task = task.unwrap().path();
            let (Ok(times), Ok(status)) = (
                fs::read_to_string(task.join("schedstat")),
                fs::read_to_string(task.join("status")),
            ) else {
                continue;
            };
            cpu += number(times.split_whitespace().next());
            voluntary += field(&status, "voluntary_ctxt_switches:");
            involuntary += field(&status, "nonvoluntary_ctxt_switches:");
        }
        Self {
            at: Instant::now(),
            seconds: 0.0,
            cpu,
            voluntary,
            involuntary,
        }
    }

    pub fn since(&self, before: &Self) -> Self {
        Self {
            at: self.at,
            seconds: (self.at - before.at).as_secs_f64(),
            cpu: self.cpu - before.cpu,
            voluntary: self.voluntary - before.voluntary,
            involuntary: self.involuntary - before.involuntary,
        }
    }

    /// For each of so many frames.
    pub fn say(&self, frames: f64) {
        say("rate", frames / self.seconds);
        say("cpu", self.cpu / 1e3 / frames);
        say("voluntary", self.voluntary / frames);
        say("involuntary", self.involuntary / frames);
    }
}

/// Resident memory of this process in kB: all of it, and what no file is behind.
pub fn resident() -> (f64, f64) {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    (field(&status, "VmRSS:"), field(&status, "RssAnon:"))
}

fn field(status: &str, name: &str) -> f64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    number(line.and_then(|line| line.split_whitespace().next()))
}

fn number(text: Option<&str>) -> f64 {
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}
