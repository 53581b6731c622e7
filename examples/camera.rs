//! A whole camera program in Rust, with the plugin linked into it: nothing has to be installed, and no GST_PLUGIN_PATH set. The same in C: `camera.c`, in
//! Python: `camera.py`.
//!
//! `cargo run --release --example camera SOCKET [CAMERA]`
//!
//! Lists the cameras, and tells of those that come and go. Prints what can be set at the first one, or at CAMERA (an id), with the range of each. Shares it
//! at SOCKET, for any number of shmsrc-rs and shmsrc. Prints what the camera knew about every thirtieth frame. A line on the standard input changes a
//! control while it streams: `brightness=0.5` (libcamera's virtual camera lacks it, and says so); `quit`, or the
//! input's end, ends it. When the camera is unplugged, waits until it is back.

use gst::prelude::*;
use std::{
    error::Error,
    io::stdin,
    process::ExitCode,
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The id, of a device that is a camera of libcamera's: other providers list cameras, too.
fn camera_id(device: &gst::Device) -> Option<String> {
    device.properties()?.get("api.libcamera.id").ok()
}

struct Program {
    socket: String,
    wanted: Option<String>,
    pipeline: Option<gst::Pipeline>,
    /// The camera, where it has come back and there still was a pipeline.
    back: Option<gst::Device>,
}

impl Program {
    fn is_wanted(&self, id: &str) -> bool {
        self.wanted.as_deref().is_none_or(|wanted| wanted == id)
    }

    /// Tries it at most once each time that it comes: one that is there and cannot be opened is not tried for ever.
    fn wait(&mut self) -> Result<()> {
        if let Some(device) = self.back.take()
            && let Some(id) = camera_id(&device)
        {
            return self.start(&device, id);
        }
        println!(
            "waiting for {}",
            self.wanted.as_deref().unwrap_or("a camera")
        );
        Ok(())
    }

    fn start(&mut self, device: &gst::Device, id: String) -> Result<()> {
        let pipeline = gst::Pipeline::new();
        let source = device.create_element(Some("source"))?;
        source.set_property("pace", true);
        // The queue gives sharing a thread of its own; the camera goes on whatever comes behind.
        let description =
            "capsfilter caps=video/x-raw,framerate=30/1 ! queue ! shmsink-rs name=sink";
        let share = gst::parse::bin_from_description(description, true)?;
        let sink = share.by_name("sink").ok_or("no sink")?;
        sink.set_property("socket-path", &self.socket);
        pipeline.add_many([&source, share.upcast_ref()])?;
        source.link(&share)?;
        let pad = source.static_pad("src").ok_or("no pad")?;
        let frames = AtomicU32::new(0);
        // In the thread of the pad, for every frame: nothing here may take long.
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let frame = frames.fetch_add(1, Ordering::Relaxed);
            let meta = info
                .buffer()
                .and_then(|buffer| gst::meta::CustomMeta::from_buffer(buffer, "libcamera").ok());
            if let Some(meta) = meta.filter(|_| frame.is_multiple_of(30)) {
                println!("frame {frame}: {}", meta.structure());
            }
            gst::PadProbeReturn::Ok
        });
        // From READY on the camera is open and says what can be set. If it cannot be opened, an error is on the bus.
        if pipeline.set_state(gst::State::Ready).is_ok() {
            let controls: gst::Structure = source.property("camera-controls");
            for (name, limits) in controls.iter() {
                println!("control {name}: {}", limits.get::<gst::Structure>()?);
            }
            if pipeline.set_state(gst::State::Playing).is_ok() {
                println!("{id} is shared at {}", self.socket);
            }
        }
        self.wanted = Some(id);
        self.pipeline = Some(pipeline);
        Ok(())
    }

    fn stop(&mut self) {
        if let Some(pipeline) = self.pipeline.take() {
            // It cannot fail, and waits for no reader.
            let _ = pipeline.set_state(gst::State::Null);
        }
    }

    /// Whether the program goes on.
    fn on_message(&mut self, message: &gst::Message) -> Result<bool> {
        match message.view() {
            gst::MessageView::Warning(warning) => println!("warning: {}", warning.error()),
            gst::MessageView::Error(error) => {
                println!("error: {}", error.error());
                self.stop();
                // Of the camera this says that it is gone: unplugged, or its driver has failed. Other errors do not end by themselves: of the sink
                // it is a directory that does not exist.
                let is_camera = message.src().is_some_and(|src| src.name() == "source");
                if !is_camera || !error.error().matches(gst::ResourceError::NotFound) {
                    return Ok(false);
                }
                self.wait()?;
            }
            _ => (),
        }
        Ok(true)
    }

    fn on_device(&mut self, message: &gst::Message) -> Result<()> {
        match message.view() {
            gst::MessageView::DeviceAdded(added) => {
                let device = added.device();
                if let Some(id) = camera_id(&device) {
                    println!("camera {id} has come");
                    if self.pipeline.is_none() && self.is_wanted(&id) {
                        self.start(&device, id)?;
                    } else if self.is_wanted(&id) {
                        self.back = Some(device);
                    }
                }
            }
            gst::MessageView::DeviceRemoved(removed) => {
                if let Some(id) = camera_id(&removed.device()) {
                    println!("camera {id} has gone");
                    if self.is_wanted(&id) {
                        self.back = None;
                    }
                }
            }
            _ => (),
        }
        Ok(())
    }

    fn on_line(&self, line: &str) {
        let source = self
            .pipeline
            .as_ref()
            .and_then(|pipeline| pipeline.by_name("source"));
        let Some(source) = source else {
            return println!("the camera is not there");
        };
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        let property = source.find_property(name);
        let is_writable =
            |property: &glib::ParamSpec| property.flags().contains(glib::ParamFlags::WRITABLE);
        let Some(property) = property.filter(is_writable) else {
            return println!("'{name}' is no control: type CONTROL=VALUE");
        };
        match glib::Value::deserialize_with_pspec(value, &property) {
            Ok(value) => {
                // Any state will do, and any thread. What the camera lacks or cannot do is a warning on the bus.
                source.set_property_from_value(name, &value);
                println!("{name} is asked for");
            }
            Err(_) => println!(
                "'{value}' is no value for {name}: it is a {}",
                property.value_type()
            ),
        }
    }
}

fn run(socket: String, wanted: Option<String>) -> Result<ExitCode> {
    gst::init()?;
    gstlibcamerars::plugin_register_static()?;
    let monitor = gst::DeviceMonitor::new();
    monitor.add_filter(Some("Video/Source"), None);
    if monitor.start().is_err() {
        return Err("cameras cannot be listed: GST_DEBUG=2 shows why".into());
    }
    // Those that are here are listed; what the monitor has told of them is not news.
    monitor.bus().set_flushing(true);
    monitor.bus().set_flushing(false);
    let mut program = Program {
        socket,
        wanted,
        pipeline: None,
        back: None,
    };
    let cameras: Vec<(gst::Device, String)> = monitor
        .devices()
        .into_iter()
        .filter_map(|device| camera_id(&device).map(|id| (device, id)))
        .collect();
    for (device, id) in &cameras {
        println!("camera {id}: {}", device.display_name());
    }
    match cameras.into_iter().find(|(_, id)| program.is_wanted(id)) {
        Some((device, id)) => program.start(&device, id)?,
        None => program.wait()?,
    }

    let (send, lines) = mpsc::channel();
    thread::spawn(move || {
        stdin()
            .lines()
            .map_while(|line| line.ok())
            .try_for_each(|line| send.send(line))
    });
    let mut status = ExitCode::SUCCESS;
    'running: loop {
        let bus = program
            .pipeline
            .as_ref()
            .and_then(|pipeline| pipeline.bus());
        while let Some(message) = bus.as_ref().and_then(|bus| bus.pop()) {
            if !program.on_message(&message)? {
                status = ExitCode::FAILURE;
                break 'running;
            }
        }
        while let Some(message) = monitor.bus().pop() {
            program.on_device(&message)?;
        }
        match lines.recv_timeout(Duration::from_millis(50)) {
            Ok(line) if line.trim() != "quit" => program.on_line(line.trim()),
            Err(mpsc::RecvTimeoutError::Timeout) => (),
            _ => break,
        }
    }
    program.stop();
    monitor.stop();
    Ok(status)
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(socket) = arguments.next() else {
        eprintln!("usage: camera SOCKET [CAMERA]");
        return ExitCode::from(2);
    };
    run(socket, arguments.next()).unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::FAILURE
    })
}
