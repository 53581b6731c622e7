//! A started provider: cameras that come and go become devices that come and go.
//!
//! The systems tell of them in threads that must not be kept waiting, and may not be asked for anything from there. So they are only noted there, and
//! a thread of ours does the rest.
//!
//! GStreamer starts and stops a provider under a lock of its own. A stop waits there for this thread, as GStreamer's own providers do, because a device
//! that is added while GStreamer lets go of them all has no provider when a monitor looks for it. So a synchronous handler of the messages, which runs
//! in this thread, may stop and start the provider, but one that asks it something else while another thread stops it waits for ever.

use super::{
    LibcameraProvider,
    device::{LibcameraDevice, display_name},
    imp::CAT,
    systems,
};
use crate::camera::{CameraError, CameraInfo, CameraSystem, CameraWatcher};
use crate::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
    mpsc,
};
use gst::prelude::*;
use std::{
    fmt, io,
    panic::{self, AssertUnwindSafe},
    thread::{self, JoinHandle},
};

#[derive(Debug)]
enum Event {
    Added { system: usize, id: String },
    Removed { system: usize, id: String },
    End,
}

/// Notes what one system tells.
struct Note {
    system: usize,
    events: Mutex<mpsc::Sender<Event>>,
}

impl Note {
    fn send(&self, event: Event) {
        // Nobody listens any more when the provider is being stopped.
        let _ = self.events.lock().send(event);
    }
}

impl CameraWatcher for Note {
    fn added(&self, id: &str) {
        let (system, id) = (self.system, id.to_owned());
        self.send(Event::Added { system, id });
    }

    fn removed(&self, id: &str) {
        let (system, id) = (self.system, id.to_owned());
        self.send(Event::Removed { system, id });
    }
}

/// The devices of one system, and what they are made of.
#[derive(Clone, Debug)]
struct Known {
    system: Arc<dyn CameraSystem>,
    devices: Vec<(CameraInfo, LibcameraDevice)>,
}

impl Known {
    fn infos(&self) -> Vec<CameraInfo> {
        self.devices.iter().map(|(info, _)| info.clone()).collect()
    }
}

/// While there is one, the provider tells of cameras that come and go.
#[derive(Debug)]
pub struct Monitor {
    watches: Vec<Box<dyn fmt::Debug + Send>>,
    events: mpsc::Sender<Event>,
    stopped: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Monitor {
    /// The devices that there are now have been added when this returns.
    pub fn start(provider: &LibcameraProvider) -> io::Result<Self> {
        let (events, received) = mpsc::channel();
        let mut all = Vec::new();
        let mut watches = Vec::new();
        for (number, system) in found(provider).into_iter().enumerate() {
            // First of all: what comes in between is told twice, and added once.
            watches.push(system.watch(Arc::new(Note {
                system: number,
                events: Mutex::new(events.clone()),
            })));
            let devices = devices(provider, &*system);
            for (_, device) in &devices {
                provider.device_add(device);
            }
            all.push(Known { system, devices });
        }
        let stopped = Arc::<AtomicBool>::default();
        let thread = {
            let (weak, stopped, all) = (provider.downgrade(), stopped.clone(), all.clone());
            thread::Builder::new()
                .name("camera hotplug".to_owned())
                .spawn(move || follow(&weak, &received, &stopped, all))
        };
        if thread.is_err() {
            // GStreamer keeps them although the start has failed.
            let devices = all.iter().flat_map(|known| &known.devices);
            devices.for_each(|(_, device)| provider.device_remove(device));
        }
        Ok(Self {
            watches,
            events,
            stopped,
            thread: thread?,
        })
    }

    /// No device is added or removed after that.
    pub fn stop(self, provider: &LibcameraProvider) {
        drop(self.watches);
        self.stopped.store(true, Ordering::SeqCst);
        let _ = self.events.send(Event::End);
        // A handler of the message of a device runs in that very thread, which then ends when the handler does.
        if self.thread.thread().id() != thread::current().id() && self.thread.join().is_err() {
            gst::error!(
                CAT,
                obj = provider,
                "The thread that follows cameras has panicked"
            );
        }
    }
}

/// The systems that can be had. Why the others cannot is in the log: to fail would keep an application from all other devices.
pub fn found(provider: &LibcameraProvider) -> Vec<Arc<dyn CameraSystem>> {
    let told = |fault: &CameraError| gst::warning!(CAT, obj = provider, "{fault}");
    let systems = systems::all().into_iter();
    systems
        .filter_map(|system| system.inspect_err(told).ok())
        .collect()
}

/// The cameras of a system, in its order. One that cannot be described does not hide the others.
fn devices(
    provider: &LibcameraProvider,
    system: &dyn CameraSystem,
) -> Vec<(CameraInfo, LibcameraDevice)> {
    let infos = system.cameras().unwrap_or_else(|error| {
        gst::warning!(CAT, obj = provider, "{error}");
        Vec::new()
    });
    let described = |(index, info): (usize, &CameraInfo)| {
        let device = device(provider, system, info, &infos, index == 0)?;
        Some((info.clone(), device))
    };
    infos.iter().enumerate().filter_map(described).collect()
}

/// All cameras of all systems, for who asks once.
pub fn probe(provider: &LibcameraProvider) -> Vec<gst::Device> {
    let systems = found(provider);
    systems
        .iter()
        .flat_map(|system| devices(provider, &**system))
        .map(|(_, device)| device.upcast())
        .collect()
}

fn device(
    provider: &LibcameraProvider,
    system: &dyn CameraSystem,
    info: &CameraInfo,
    others: &[CameraInfo],
    is_default: bool,
) -> Option<LibcameraDevice> {
    match system.describe(&info.id) {
        Ok(description) => {
            let name = display_name(info, others);
            Some(LibcameraDevice::new(description, &name, is_default))
        }
        Err(error) => {
            gst::warning!(
                CAT,
                obj = provider,
                "Camera '{}' is left out: {error}",
                info.id
            );
            None
        }
    }
}

/// The monitor's thread.
fn follow(
    provider: &glib::WeakRef<LibcameraProvider>,
    events: &mpsc::Receiver<Event>,
    stopped: &AtomicBool,
    mut all: Vec<Known>,
) {
    for event in events {
        let provider = provider.upgrade();
        let Some(provider) = provider.filter(|_| !stopped.load(Ordering::SeqCst)) else {
            return;
        };
        let ends = panic::catch_unwind(AssertUnwindSafe(|| match event {
            Event::End => true,
            Event::Added { system, id } => {
                if let Some(known) = all.get_mut(system) {
                    added(&provider, known, &id, stopped);
                }
                false
            }
            Event::Removed { system, id } => {
                let known = all.get_mut(system).map(|known| &mut known.devices);
                let gone = known.and_then(|devices| {
                    let place = devices.iter().position(|(info, _)| info.id == id)?;
                    Some(devices.remove(place))
                });
                if let Some((_, device)) = gone {
                    gst::info!(CAT, obj = &provider, "Camera '{id}' is gone");
                    provider.device_remove(&device);
                }
                false
            }
        }));
        match ends {
            Ok(true) => return,
            Ok(false) => (),
            Err(_) => gst::error!(CAT, obj = &provider, "Following a camera has panicked"),
        }
    }
}

fn added(provider: &LibcameraProvider, known: &mut Known, id: &str, stopped: &AtomicBool) {
    let infos = known.system.cameras().unwrap_or_default();
    let info = infos.iter().find(|info| info.id == id);
    let mut others = known.infos();
    let is_known = others.iter().any(|other| other.id == id);
    let Some(info) = info.filter(|_| !is_known) else {
        return;
    };
    let is_default = infos.first().is_some_and(|first| first.id == id);
    others.retain(|other| infos.contains(other));
    if let Some(device) = device(provider, &*known.system, info, &others, is_default) {
        gst::info!(CAT, obj = provider, "Camera '{id}' is here");
        provider.device_add(&device);
        if stopped.load(Ordering::SeqCst) {
            // The provider may have let go of its devices before this one came.
            provider.device_remove(&device);
        }
        known.devices.push((info.clone(), device));
    }
}
