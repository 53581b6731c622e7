//! Ends a build that cannot succeed with a line that names the set-up, before anything big is compiled; and lets development builds find the
//! libcamera that `pipelines/setup.sh` has built below `target/`. Installed plugins name no path.

use std::{
    env,
    path::Path,
    process::{Command, ExitCode, Stdio},
};

fn asked(feature: &str) -> bool {
    env::var_os(format!("CARGO_FEATURE_{feature}")).is_some()
}

/// `pkg-config` as `.cargo/config.toml` names it.
fn pkg_config(arguments: &[&str]) -> Option<String> {
    let program = env::var_os("PKG_CONFIG").unwrap_or_else(|| "pkg-config".into());
    let output = Command::new(program)
        .args(arguments)
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn needed() -> Vec<&'static str> {
    let mut packages = Vec::new();
    if asked("PLUGIN") {
        packages.extend([
            "gstreamer-1.0 >= 1.22",
            "gstreamer-base-1.0",
            "gstreamer-video-1.0",
            "gstreamer-allocators-1.0",
        ]);
    }
    if asked("HARNESS") {
        packages.extend(["gstreamer-check-1.0", "gstreamer-app-1.0"]);
    }
    if asked("LIBCAMERA") {
        packages.extend(["libcamera >= 0.4", "libcamera < 0.8"]);
    }
    packages
}

/// Whether the linker is one that takes a script for some functions: GNU's, and LLVM's, which is rustc's own. mold, which somebody has to ask for, does not.
fn orders_functions() -> bool {
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let linker = env::var("RUSTC_LINKER").unwrap_or_default();
    asked("PLUGIN") && !flags.contains("mold") && !linker.contains("mold")
}

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=PKG_CONFIG");
    println!("cargo::rerun-if-env-changed=PKG_CONFIG_PATH");
    let missing: Vec<_> = needed()
        .into_iter()
        .filter(|package| pkg_config(&["--exists", package]).is_none())
        .collect();
    if !missing.is_empty() {
        println!(
            "cargo::error=not found: {}. Run pipelines/setup.sh once: it installs all that the build needs",
            missing.join(", ")
        );
        return ExitCode::FAILURE;
    }
    let checkout = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    if orders_functions() {
        println!("cargo::rerun-if-changed=src/frame.ld");
        println!("cargo::rustc-link-arg-cdylib=-Wl,-T,{checkout}/src/frame.ld");
    }
    if asked("LIBCAMERA") && !asked("CAPI") {
        let private = Path::new(&checkout).join("target/libcamera");
        if let Some(dir) = pkg_config(&["--variable=libdir", "libcamera"])
            && Path::new(&dir).starts_with(&private)
        {
            println!("cargo::rustc-link-arg=-Wl,-rpath,{dir}");
        }
    }
    ExitCode::SUCCESS
}
