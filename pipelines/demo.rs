//! What `pipelines/demo.sh` runs: a camera shared with three stock `shmsrc` processes, one of which is stopped for a while.
//!
//! `demo DIRECTORY PNG`: the socket and the readers' output go to DIRECTORY, one received frame to PNG. Exit code 0: every healthy reader got
//! every frame; 1: not so; 3: no camera can be used.
//!
//! The camera is started twice. The first time shows which caps it has; the second time waits in PAUSED until the three readers are connected,
//! so that each frame that is captured is due to each of them. What a reader received is counted by its own process, one line per buffer.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    cell::Cell,
    env,
    error::Error,
    fs::{self, File},
    io::{BufRead, BufReader, IsTerminal},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use gst::prelude::*;

const READERS: usize = 3;
/// The reader that is stopped, and when it is, and until when.
const STOPPED: usize = READERS - 1;
const STOP_AT: Duration = Duration::from_secs(1);
const CONTINUE_AT: Duration = Duration::from_secs(10);
const PICTURE_AT: Duration = Duration::from_secs(5);
const END_AT: Duration = Duration::from_secs(15);
/// A camera that has captured nothing for so long was stopped by somebody.
const STALL: Duration = Duration::from_secs(1);
/// For anything that is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Tried in this order.
const CAPS: [&str; 2] = [
    "video/x-raw,width=1280,height=720,framerate=30/1",
    "video/x-raw",
];

type Result<T> = std::result::Result<T, Box<dyn Error>>;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn interrupted(_signal: libc::c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

fn main() -> ExitCode {
    let handler = interrupted as extern "C" fn(libc::c_int);
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: the handler only stores to an atomic, which is async-signal-safe.
        unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    }
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let (Some(directory), Some(picture)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: demo DIRECTORY PNG; pipelines/demo.sh calls it");
        return ExitCode::from(2);
    };
    gst::init().expect("GStreamer does not start");
    gstlibcamerars::plugin_register_static().expect("the elements cannot be registered");

    let socket = directory.join("camera");
    let (camera, caps) =
        match Producer::start(&socket, CAPS[0]).or_else(|_| Producer::start(&socket, CAPS[1])) {
            Ok(camera) => camera,
            Err(error) => {
                eprintln!("demo: no camera can be used: {error}");
                return ExitCode::from(3);
            }
        };
    match demonstrate(&camera, &caps, &directory, &picture) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::from(1)
        }
    }
}

// --- the producer ---------------------------------------------------------------------------------------------------------

struct Producer {
    pipeline: gst::Pipeline,
    source: gst::Element,
    sink: gst::Element,
    socket: String,
    line: String,
    ended: Cell<bool>,
}

/// What the sink says of one reader.
#[derive(Clone, Default)]
struct Client {
    sent: u64,
    acked: u64,
    skipped: u64,
    outstanding: u64,
    state: String,
}

impl Producer {
    fn new(socket: &Path, caps: &str) -> Result<Self> {
        let socket = socket.to_str().ok_or("the directory's name is not UTF-8")?;
        let line = format!(
            "libcamerasrc-rs name=camera pace=true ! {caps} ! shmsink-rs name=sink socket-path=\"{socket}\""
        );
        let pipeline = gst::parse::launch(&line)?
            .downcast::<gst::Pipeline>()
            .map_err(|_| "not a pipeline")?;
        let element = |name| pipeline.by_name(name).ok_or("an element is gone");
        Ok(Self {
            source: element("camera")?,
            sink: element("sink")?,
            pipeline: pipeline.clone(),
            socket: socket.to_owned(),
            line,
            ended: Cell::new(false),
        })
    }

    fn set_state(&self, state: gst::State) -> Result<()> {
        if self.pipeline.set_state(state).is_err() {
            self.look_for_errors()?;
            return Err(format!("the pipeline does not go to {state:?}").into());
        }
        Ok(())
    }

    /// A producer in NULL whose camera is known to work, and the caps that its frames have.
    fn start(socket: &Path, caps: &str) -> Result<(Self, String)> {
        let producer = Self::new(socket, caps)?;
        let caps = producer.caps()?;
        Ok((producer, caps))
    }

    /// Takes what is on the bus: an error is returned, EOS is remembered.
    fn look_for_errors(&self) -> Result<()> {
        let bus = self.pipeline.bus().ok_or("no bus")?;
        while let Some(message) = bus.pop() {
            match message.view() {
                gst::MessageView::Error(error) => return Err(error.error().to_string().into()),
                gst::MessageView::Eos(_) => self.ended.set(true),
                _ => (),
            }
        }
        Ok(())
    }

    /// The caps of the first frames, without the fields that a reader does not need.
    fn caps(&self) -> Result<String> {
        self.set_state(gst::State::Playing)?;
        let pad = self.sink.static_pad("sink").ok_or("no pad")?;
        wait_for("the camera's first frame", || {
            not_interrupted()?;
            self.look_for_errors()?;
            Ok(self.captured() > 0 && pad.current_caps().is_some())
        })?;
        let caps = pad.current_caps().ok_or("no caps")?;
        let structure = caps.structure(0).ok_or("empty caps")?;
        let mut text = structure.name().to_string();
        for field in ["format", "width", "height", "framerate"] {
            if let Ok(value) = structure.value(field) {
                text += &format!(",{field}={}", value.serialize()?);
            }
        }
        self.set_state(gst::State::Null)?;
        Ok(text)
    }

    fn source_count(&self, field: &str) -> u64 {
        self.source
            .property::<Option<gst::Structure>>("stats")
            .and_then(|stats| stats.get(field).ok())
            .unwrap_or(0)
    }

    fn captured(&self) -> u64 {
        self.source_count("captured")
    }

    fn sink_stats(&self) -> Option<gst::Structure> {
        self.sink.property("stats")
    }

    fn client(&self, pid: u32) -> Option<Client> {
        let stats = self.sink_stats()?;
        let clients = stats.get::<gst::Array>("clients").ok()?;
        let client = clients
            .iter()
            .filter_map(|client| client.get::<gst::Structure>().ok())
            .find(|client| number(client, "pid") == u64::from(pid))?;
        Some(Client {
            sent: number(&client, "sent"),
            acked: number(&client, "acked"),
            skipped: number(&client, "skipped"),
            outstanding: number(&client, "outstanding"),
            state: client.get("state").unwrap_or_default(),
        })
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

fn number(structure: &gst::StructureRef, field: &str) -> u64 {
    structure
        .value(field)
        .ok()
        .and_then(|value| {
            let value = value.transform::<u64>().ok()?;
            value.get().ok()
        })
        .unwrap_or(0)
}

fn not_interrupted() -> Result<()> {
    match INTERRUPTED.load(Ordering::Relaxed) {
        true => Err("interrupted".into()),
        false => Ok(()),
    }
}

fn wait_for(what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !done()? {
        if Instant::now() > deadline {
            return Err(format!("waited {PATIENCE:?} in vain for {what}").into());
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

// --- the readers ----------------------------------------------------------------------------------------------------------

struct Reader {
    child: Child,
    output: PathBuf,
}

fn gst_launch(arguments: &str, output: &Path) -> Result<Child> {
    let file = File::create(output)?;
    let mut command = Command::new("gst-launch-1.0");
    command
        .args(arguments.split(' '))
        .stdin(Stdio::null())
        .stderr(file.try_clone()?)
        .stdout(file)
        // Ctrl-C is for the demo, which then ends its readers.
        .process_group(0);
    // SAFETY: prctl with PR_SET_PDEATHSIG is a plain system call, allowed between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
    Ok(command.spawn()?)
}

impl Reader {
    fn signal(&self, signal: libc::c_int) {
        // SAFETY: the process is a child that has not been waited for, so its id is still its own.
        unsafe { libc::kill(self.child.id() as libc::pid_t, signal) };
    }

    /// Waits until the process has ended by itself, and counts the buffers that it has written down.
    fn received(&mut self) -> Result<u64> {
        self.signal(libc::SIGCONT);
        let child = &mut self.child;
        wait_for("a reader's end", || Ok(child.try_wait()?.is_some()))?;
        let lines = BufReader::new(File::open(&self.output)?).lines();
        Ok(lines
            .map_while(std::result::Result::ok)
            .filter(|line| line.contains("chain   ***"))
            .count() as u64)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// --- the demonstration ----------------------------------------------------------------------------------------------------

fn demonstrate(camera: &Producer, caps: &str, directory: &Path, picture: &Path) -> Result<bool> {
    let keep = env::var_os("KEEP").is_some_and(|keep| keep == "1");
    let shmsrc = format!("shmsrc socket-path={} ! {caps}", camera.socket);
    println!("producer     {}", camera.line);
    println!(
        "each reader  gst-launch-1.0 -v {shmsrc} ! fakesink silent=false enable-last-sample=false"
    );
    println!();

    camera.set_state(gst::State::Paused)?;
    wait_for("the socket", || {
        not_interrupted()?;
        Ok(Path::new(&camera.socket).exists())
    })?;
    let mut readers = Vec::new();
    for index in 0..READERS {
        let output = directory.join(format!("reader-{index}"));
        let line = format!("-v {shmsrc} ! fakesink silent=false enable-last-sample=false");
        let child = gst_launch(&line, &output)?;
        readers.push(Reader { child, output });
    }
    wait_for("three readers", || {
        not_interrupted()?;
        Ok(camera.sink.property::<u32>("num-clients") as usize == READERS)
    })?;
    camera.set_state(gst::State::Playing)?;

    let watched = watch(camera, &readers, &shmsrc, picture, directory, keep)?;

    // The camera's end: EOS comes behind its last frame.
    camera.source.send_event(gst::event::Eos::new());
    wait_for("the end of the stream", || {
        camera.look_for_errors()?;
        Ok(camera.ended.get())
    })?;
    judge(camera, &mut readers, picture, &watched)
}

struct Watched {
    /// The user has ended it.
    interrupted: bool,
    /// Whether the reader was stopped and continued.
    complete: bool,
    /// The longest time in which no frame was captured.
    longest_pause: Duration,
}

/// Prints the table while time goes by; stops and continues the third reader, and saves one frame.
fn watch(
    camera: &Producer,
    readers: &[Reader],
    shmsrc: &str,
    picture: &Path,
    directory: &Path,
    keep: bool,
) -> Result<Watched> {
    let begun = Instant::now();
    let (mut captured, mut captured_at, mut longest_pause) = (0, begun, Duration::ZERO);
    let live = std::io::stdout().is_terminal();
    let mut rows = 0;
    let mut stopped = false;
    let mut continued = false;
    let mut saving: Option<Child> = None;
    println!("seconds  captured  | reader: delivered, skipped, state");
    loop {
        let time = begun.elapsed();
        camera.look_for_errors()?;
        longest_pause = longest_pause.max(captured_at.elapsed());
        if camera.captured() > captured {
            (captured, captured_at) = (camera.captured(), Instant::now());
        }
        if time >= STOP_AT && !stopped {
            readers[STOPPED].signal(libc::SIGSTOP);
            stopped = true;
        }
        if time >= CONTINUE_AT && !continued {
            readers[STOPPED].signal(libc::SIGCONT);
            continued = true;
        }
        if time >= PICTURE_AT && saving.is_none() {
            let _ = fs::remove_file(picture);
            let picture = picture.to_str().ok_or("the picture's name is not UTF-8")?;
            let line = format!(
                "-q shmsrc num-buffers=1 {} ! videoconvert ! pngenc ! filesink location={picture}",
                shmsrc.strip_prefix("shmsrc ").unwrap_or(shmsrc)
            );
            saving = Some(gst_launch(&line, &directory.join("picture"))?);
        }
        if time.as_secs() >= rows {
            rows = time.as_secs() + 1;
            let row = row(camera, readers, time, stopped && !continued);
            if live && keep && rows > END_AT.as_secs() {
                print!("\r{row}");
                let _ = std::io::Write::flush(&mut std::io::stdout());
            } else {
                println!("{row}");
            }
        }
        if INTERRUPTED.load(Ordering::Relaxed) || (!keep && time >= END_AT) {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    let interrupted = INTERRUPTED.load(Ordering::Relaxed);
    readers[STOPPED].signal(libc::SIGCONT);
    println!();
    if let Some(mut child) = saving {
        let ended = wait_for("the picture", || Ok(child.try_wait()?.is_some()));
        let _ = child.kill();
        ended?;
    }
    Ok(Watched {
        interrupted,
        complete: stopped && continued,
        longest_pause,
    })
}

fn row(camera: &Producer, readers: &[Reader], time: Duration, stopped: bool) -> String {
    let mut row = format!("{:>7}  {:>8} ", time.as_secs(), camera.captured());
    for (index, reader) in readers.iter().enumerate() {
        row += &match camera.client(reader.child.id()) {
            Some(client) => {
                let state = match stopped && index == STOPPED {
                    true => "STOPPED",
                    false => &client.state,
                };
                format!(
                    " | {}: {:>4} {:>4} {state:<9}",
                    index + 1,
                    client.acked,
                    client.skipped
                )
            }
            None => format!(" | {}: {:<19}", index + 1, "gone"),
        };
    }
    row
}

fn judge(
    camera: &Producer,
    readers: &mut [Reader],
    picture: &Path,
    watched: &Watched,
) -> Result<bool> {
    let pids: Vec<u32> = readers.iter().map(|reader| reader.child.id()).collect();
    // The readers' last acks are on their way.
    let _ = wait_for("the last acks", || {
        Ok(pids.iter().all(|pid| {
            camera
                .client(*pid)
                .is_some_and(|client| client.outstanding == 0)
        }))
    });
    let clients: Vec<Option<Client>> = pids.iter().map(|pid| camera.client(*pid)).collect();
    let captured = camera.captured();
    let delivered = camera.source_count("delivered");
    let missed = camera.source_count("missed");
    let published = camera
        .sink_stats()
        .map_or(0, |stats| number(&stats, "frames-published"));
    // Readers end when the sink closes their connection.
    camera.set_state(gst::State::Null)?;

    let in_flight = captured.saturating_sub(delivered);
    println!(
        "camera: {captured} frames captured, {missed} missed, {in_flight} still queued at the end, longest pause {} ms; sink: {published} published",
        watched.longest_pause.as_millis()
    );
    let mut healthy_have_all = true;
    for (index, (reader, client)) in readers.iter_mut().zip(clients).enumerate() {
        let received = reader.received()?;
        let Some(client) = client else {
            println!("reader {}: was gone before the end", index + 1);
            healthy_have_all = false;
            continue;
        };
        println!(
            "reader {}: {} sent, {} acknowledged, {} skipped; its own process counted {received}{}",
            index + 1,
            client.sent,
            client.acked,
            client.skipped,
            if index == STOPPED {
                " (was stopped)"
            } else {
                ""
            }
        );
        if index != STOPPED {
            healthy_have_all &=
                received == delivered && client.acked == delivered && client.skipped == 0;
        }
    }
    let picture_is_there = fs::metadata(picture).is_ok_and(|file| file.len() > 0);
    if picture_is_there {
        println!("picture: {}", picture.display());
    } else if watched.complete {
        println!("picture: none was saved");
    }
    // At most what the camera's few requests hold may be underway when the stream ends.
    let camera_has_all = delivered > 0
        && published == delivered
        && missed == 0
        && in_flight <= 8
        && watched.longest_pause < STALL;
    let sound = healthy_have_all
        && camera_has_all
        && (watched.interrupted || (watched.complete && picture_is_there));
    println!(
        "{}",
        match (healthy_have_all && camera_has_all, sound) {
            (true, true) =>
                format!("PASS: every healthy reader got every one of {delivered} frames"),
            (true, false) =>
                "FAIL: every healthy reader got every frame, but the demonstration is not complete"
                    .to_owned(),
            (false, _) =>
                "FAIL: a healthy reader did not get every frame, or the camera was held up"
                    .to_owned(),
        }
    );
    Ok(sound)
}
