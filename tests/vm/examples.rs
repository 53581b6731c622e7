//! The whole programs of `examples/`: they outlive their camera, and share it again when it is back.

use crate::{
    camera::{FOLDER, ID, UsbCamera, number_of},
    common::{rig::socket, source::Source},
    in_machine_for,
};
use std::{
    io::{BufRead, BufReader, Write},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    time::{Duration, Instant},
};

const SOON: Duration = Duration::from_secs(30);

/// A program that is told by lines, and tells by lines. Killed when dropped.
struct Program {
    process: Child,
    lines: Receiver<String>,
}

impl Program {
    /// Its GStreamer has the plugins of that folder only: reading all of them takes this machine a minute.
    fn start(program: &Path, plugins: &Path, socket: &str) -> Self {
        let mut process = Command::new(program)
            .args([socket, ID])
            .env("GST_PLUGIN_SYSTEM_PATH", plugins)
            .env("GST_REGISTRY", plugins.join("registry"))
            .env_remove("GST_REGISTRY_UPDATE")
            .env_remove("GST_PLUGIN_PATH")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { process, lines }
    }

    /// Waits until it says all of these, in whatever order; what else it says is not of interest.
    fn says(&self, wanted: &[String]) {
        let mut missing: Vec<&String> = wanted.iter().collect();
        let mut heard = Vec::new();
        let deadline = Instant::now() + SOON;
        while !missing.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("it does not say {missing:?}, but {heard:?}");
            };
            missing.retain(|wanted| !line.starts_with(wanted.as_str()));
            heard.push(line);
        }
    }

    fn quit(mut self) {
        writeln!(self.process.stdin.take().unwrap(), "quit").unwrap();
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A folder with the few plugins that the programs need.
fn plugins(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("examples.{name}.{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let core = gst::Registry::get().find_plugin("coreelements").unwrap();
    let core = core.filename().unwrap();
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/plugins/libgstlibcamerars.so");
    for plugin in [core.as_path(), &ours] {
        symlink(plugin, folder.join(plugin.file_name().unwrap())).unwrap();
    }
    folder
}

/// Another program reads, as long as the camera is there: a camera that fails is the stream's end, if that comes before the sink is stopped.
fn has_frames(socket: &str) {
    let reader = Source::playing(&format!("shmsrc-rs name=source socket-path={socket}"));
    for _ in 0..10 {
        number_of(&reader.pull().unwrap(), 128);
    }
}

fn survives(name: &str, program: &Path) {
    let Some(_alone) = in_machine_for(Duration::from_secs(140)) else {
        return;
    };
    let mut camera = UsbCamera::plugged();
    let (plugins, socket) = (plugins(name), socket(name));
    let program = Program::start(program, &plugins, &socket);
    let line = |text: &str| text.replace("ID", ID);
    let shared = [
        format!("{ID} is shared at {socket}"),
        "frame 0: libcamera, ".to_owned(),
    ];
    program.says(&[line("camera ID: "), "control brightness: ".to_owned()]);
    program.says(&shared);
    has_frames(&socket);
    camera.unplug();
    program.says(&[
        line("camera ID has gone"),
        "error: ".to_owned(),
        line("waiting for ID"),
    ]);
    drop(camera);
    let _camera = UsbCamera::plugging();
    program.says(&[
        line("camera ID has come"),
        format!("{ID} is shared at {socket}"),
    ]);
    has_frames(&socket);
    program.quit();
    std::fs::remove_dir_all(plugins).unwrap();
}

#[test]
fn the_one_in_rust_waits_for_its_camera_and_shares_it_again() {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/release/examples/camera");
    survives("rust", &program);
}

#[test]
fn the_one_in_c_waits_for_its_camera_and_shares_it_again() {
    let folder = std::env::var_os(FOLDER).unwrap_or_default();
    survives("c", &Path::new(&folder).join("camera-c"));
}

#[test]
fn the_one_in_python_waits_for_its_camera_and_shares_it_again() {
    survives(
        "python",
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/camera.py"),
    );
}
