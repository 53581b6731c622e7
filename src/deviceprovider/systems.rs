//! Where cameras are looked for.

use crate::camera::{CameraError, CameraSystem};
use crate::sync::Arc;

/// All that there are. One that cannot be had does not hide the others; why comes in its place.
pub fn all() -> Vec<Result<Arc<dyn CameraSystem>, CameraError>> {
    Vec::from([
        #[cfg(feature = "libcamera")]
        crate::backend::libcamera::Libcamera::new().map(|system| Arc::new(system) as _),
        #[cfg(feature = "simulated")]
        Ok(Arc::new(crate::backend::simulated::Simulated) as _),
    ])
}
