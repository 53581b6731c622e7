//! What GstBaseSrc does not foresee: that its element has other source pads.
//!
//! Its thread begins with a STREAM_START whose id it makes itself, and that GStreamer refuses to make for an element with several source pads,
//! with a critical message. So it is made to forget that one is due, and the source sends its own.

use glib::translate::{IntoGlib, ToGlibPtr};
use gst::prelude::*;

/// To be called from `start`: GstBaseSrc has noted by then that STREAM_START is due, and its thread has not begun.
pub fn forget_stream_start(element: &super::LibcameraSrc, pad: &super::pad::LibcameraSrcPad) {
    let element: &gst::Object = element.upcast_ref();
    let pad: &gst::Pad = pad.upcast_ref();
    let pad: *mut gst::ffi::GstPad = pad.to_glib_none().0;
    // SAFETY: the pad lives, and its function was set by GstBaseSrc for this very element. In a mode that it does not know it does nothing but
    // reset that note (the same in GStreamer 1.14 to 1.28; the tests of several pads fail where it is not so).
    unsafe {
        if let Some(activate) = (*pad).activatemodefunc {
            let mode = gst::PadMode::None.into_glib();
            activate(pad, element.to_glib_none().0, mode, glib::ffi::GFALSE);
        }
    }
}

/// Resumes the thread of `src` where GstBaseSrc has paused it.
pub fn resume(pad: &super::pad::LibcameraSrcPad) {
    let pad: &gst::Pad = pad.upcast_ref();
    let raw: *mut gst::ffi::GstPad = pad.to_glib_none().0;
    // SAFETY: the pad lives, and its lock protects its task, of which a reference is taken.
    let task: Option<gst::Task> = unsafe {
        let lock = &raw mut (*raw).object.lock;
        glib::ffi::g_mutex_lock(lock);
        let task = glib::translate::from_glib_none((*raw).task);
        glib::ffi::g_mutex_unlock(lock);
        task
    };
    if let Some(task) = task {
        // One that was stopped is not to go on.
        let _ = task.resume();
    }
}
