//! Development builds find the libcamera that `pipelines/setup.sh` has built below `target/`; installed plugins name no path.

use std::{env, path::Path};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let asked = |feature: &str| env::var_os(format!("CARGO_FEATURE_{feature}")).is_some();
    if !asked("LIBCAMERA") || asked("CAPI") {
        return;
    }
    // libcamera-sys links libcamera; only where it was found matters here. If it is missing, that crate's own build has said so.
    let Ok(libcamera) = pkg_config::Config::new()
        .cargo_metadata(false)
        .probe("libcamera")
    else {
        return;
    };
    let checkout = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let private = Path::new(&checkout).join("target/libcamera");
    for dir in libcamera
        .link_paths
        .iter()
        .filter(|dir| dir.starts_with(&private))
    {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", dir.display());
    }
}
