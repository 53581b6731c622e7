//! Where cameras are looked for.

use crate::camera::{CameraError, CameraSystem};
use crate::sync::Arc;

/// All that there are. One that cannot be had does not hide the others; why comes with it.
pub fn all() -> (Vec<Arc<dyn CameraSystem>>, Vec<CameraError>) {
    let (mut systems, mut faults): (Vec<Arc<dyn CameraSystem>>, _) = (Vec::new(), Vec::new());
    #[cfg(feature = "libcamera")]
    match crate::backend::libcamera::Libcamera::new() {
        Ok(system) => systems.push(Arc::new(system)),
        Err(fault) => faults.push(fault),
    }
    #[cfg(feature = "simulated")]
    systems.push(Arc::new(crate::backend::simulated::Simulated));
    let _: (&mut Vec<_>, &mut Vec<CameraError>) = (&mut systems, &mut faults);
    (systems, faults)
}
