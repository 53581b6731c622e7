//! A camera that fills nothing of downstream's memory is started anew with other memory, and the user is told of no error. Drivers look at memory when it is
//! imported, when they start, or only when a request comes with it: this is for the last.

use crate::camera::CameraError;
use crate::capture::loop_state::LoopState;
use crate::sync::{Arc, OnceLock};

/// What the capture task asks at a failure: whether the camera is being started anew for it. Why goes to `refusal`, for the next start to read.
pub fn recover(
    has_peers: bool,
    state: &Arc<LoopState>,
    refusal: Arc<OnceLock<String>>,
    go_stale: Arc<dyn Fn() + Send + Sync>,
) -> impl Fn(&CameraError) -> bool + Send + Sync + 'static {
    let state = Arc::downgrade(state);
    move |error| {
        let may_be_memory = matches!(error, CameraError::AllCancelled | CameraError::Call { .. });
        let fills_nothing = || {
            let state = state.upgrade();
            state.is_some_and(|state| state.request_counters().0.completed == 0)
        };
        let refused = has_peers && may_be_memory && fills_nothing();
        if refused {
            let _ = refusal.set(error.to_string());
            go_stale();
        }
        refused
    }
}
