//! A source in a process of its own, where it may crash: this program, started again. It is told what to do by lines on its standard input, and
//! tells what happens by lines on its standard output.

use crate::camera::{ID, number};
use gst::prelude::*;
use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    time::{Duration, Instant},
};

/// The description of a pipeline, whose element `source` is the camera's, and whose appsink is `sink`.
const ASKED: &str = "CHILD_PIPELINE";
const MARK: &str = "@ ";

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "\n{MARK}{text}");
    let _ = out.flush();
}

/// Runs the pipeline and does not return, if this process was started for that.
pub fn run_if_asked() {
    let Ok(description) = std::env::var(ASKED) else {
        return;
    };
    gst::init().unwrap();
    gstlibcamerars::plugin_register_static().unwrap();
    let pipeline = gst::parse::launch(&description).unwrap();
    let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
    if let Some(source) = pipeline.by_name("source") {
        source.set_property("camera-name", ID);
    }
    let sink: gst_app::AppSink = pipeline.by_name("sink").unwrap().downcast().unwrap();
    let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(|sink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let info = gst_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
        let buffer = sample.buffer().unwrap();
        let memory = match buffer
            .peek_memory(0)
            .downcast_memory_ref::<gst_allocators::FdMemory>()
        {
            Some(memory) => {
                crate::exported::exporter(memory.fd()).unwrap_or("no DMABUF".to_owned())
            }
            None => "no file descriptor".to_owned(),
        };
        let bytes = buffer.map_readable().unwrap();
        // Of another brightness than the usual one, only the number is looked at.
        let usual = std::panic::catch_unwind(|| number(&bytes, info.width() as usize, 128));
        say(&format!(
            "frame {} {memory}",
            usual.map_or("-".to_owned(), |number| number.to_string())
        ));
        Ok(gst::FlowSuccess::Ok)
    });
    sink.set_callbacks(callbacks.build());
    let bus = pipeline.bus().unwrap();
    std::thread::spawn(move || {
        for message in bus.iter_timed(gst::ClockTime::NONE) {
            match message.view() {
                gst::MessageView::Error(error) => say(&format!("error {}", error.error())),
                gst::MessageView::Eos(_) => say("eos"),
                _ => (),
            }
        }
    });
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["state", state] => {
                let state = match *state {
                    "playing" => gst::State::Playing,
                    _ => gst::State::Null,
                };
                let changed = pipeline.set_state(state).is_ok();
                say(&format!(
                    "{} {line}",
                    if changed { "done" } else { "refused" }
                ));
            }
            ["set", name, value] => {
                let source = pipeline.by_name("source").unwrap();
                source.set_property_from_str(name, value);
                say(&format!("done {line}"));
            }
            _ => panic!("{line}"),
        }
    }
    std::process::exit(0);
}

/// Killed when dropped.
pub struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    pub fn new(description: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "child_process",
                "--exact",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(ASKED, description)
            .env_remove("G_DEBUG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if let Some(line) = line.strip_prefix(MARK) {
                    let _ = sender.send(line.to_owned());
                }
            }
        });
        Self { child, lines }
    }

    pub fn tell(&mut self, command: &str) {
        // A process that has crashed reads nothing.
        let _ = writeln!(self.child.stdin.as_mut().unwrap(), "{command}");
    }

    /// The next line that begins with one of these words.
    pub fn line(&mut self, words: &[&str], seconds: u64) -> Option<String> {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).ok()?;
            if words
                .iter()
                .any(|word| line.split(' ').next() == Some(word))
            {
                return Some(line);
            }
        }
    }

    /// Tells it to do something, and whether it has done it.
    pub fn does(&mut self, command: &str, seconds: u64) -> bool {
        self.tell(command);
        self.line(&["done", "refused"], seconds)
            .is_some_and(|line| line.starts_with("done"))
    }

    /// So many whole frames in order; the memory that they are of, or what came instead.
    pub fn frames(&mut self, count: u32) -> Result<String, String> {
        let (mut last, mut memory) = (None, String::new());
        for _ in 0..count {
            let line = self
                .line(&["frame", "error", "eos"], 10)
                .ok_or("nothing in 10 s")?;
            let Some((number, of)) = line
                .strip_prefix("frame ")
                .and_then(|rest| rest.split_once(' '))
            else {
                return Err(line);
            };
            let number: u32 = number.parse().map_err(|_| "a frame that is not whole")?;
            if last.replace(number).is_some_and(|last| number <= last) {
                return Err("a frame after a later one".to_owned());
            }
            memory = of.to_owned();
        }
        Ok(memory)
    }

    pub fn stop(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    pub fn resume(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.child.id() as i32).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// How it has ended, if it has.
    pub fn crash(&mut self) -> Option<String> {
        std::thread::sleep(Duration::from_millis(100));
        Some(self.child.try_wait().unwrap()?.to_string())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
