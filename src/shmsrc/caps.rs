//! What downstream is told that the frames are.

use gst::{prelude::*, subclass::prelude::*};
use gst_base::prelude::*;

use super::{CAT, imp::ShmSrc, stream::NewCaps};
use crate::sync::atomic::Ordering;

/// What frames without caps are where downstream takes these: fixed caps, if they leave open nothing that says how the bytes are to be read.
pub(super) fn certain(mut caps: gst::Caps) -> Option<gst::Caps> {
    let structure = caps.structure(0)?;
    let is_fixed = |name| {
        let value = structure.value(name);
        value.is_ok_and(|value| {
            value.type_() == glib::Type::STRING || value.type_() == glib::Type::I32
        })
    };
    let needed: &[&str] = match structure.name().as_str() {
        "video/x-raw" => &["format", "width", "height"],
        "audio/x-raw" => &["format", "rate", "channels"],
        _ => &[],
    };
    if caps.size() != 1 || !needed.iter().all(|name| is_fixed(*name)) {
        return None;
    }
    caps.fixate();
    Some(caps)
}

impl ShmSrc {
    /// What a frame must have at least by the caps that downstream knows.
    pub(super) fn least_size(&self) -> usize {
        let caps = self.obj().src_pad().current_caps();
        let video = caps.and_then(|caps| gst_video::VideoInfo::from_caps(&caps).ok());
        video.map_or(0, |info| info.size())
    }

    fn has_begun_without_caps(&self) -> bool {
        let pad = self.obj().src_pad().clone();
        let has_begun = pad.sticky_event::<gst::event::Segment>(0).is_some();
        has_begun && !pad.has_current_caps()
    }

    /// Tells downstream what the frames are that come.
    pub(super) fn announce(&self, caps: &NewCaps) -> Result<(), gst::FlowError> {
        let source = self.obj();
        match caps {
            NewCaps::Same => Ok(()),
            NewCaps::Untold => {
                self.asks_downstream.store(true, Ordering::Relaxed);
                if source.src_pad().has_current_caps() {
                    gst::element_imp_warning!(
                        self,
                        gst::StreamError::Format,
                        ("The producer no longer tells the caps of its frames. They are taken for what downstream has or takes")
                    );
                }
                if source.negotiate() {
                    return Ok(());
                }
                // After an error of ours GstBaseSrc is to post none.
                Err(match self.has_ended.load(Ordering::Relaxed) {
                    true => gst::FlowError::Eos,
                    false => gst::FlowError::NotNegotiated,
                })
            }
            // The segment is under way, and caps must come before it.
            NewCaps::Told(caps) if self.has_begun_without_caps() => {
                gst::element_imp_warning!(
                    self,
                    gst::StreamError::Format,
                    ("The producer tells its caps late ({caps}), and they are not used: downstream has begun without. Start the reader again")
                );
                Ok(())
            }
            NewCaps::Told(caps) => {
                self.asks_downstream.store(false, Ordering::Relaxed);
                gst::info!(CAT, imp = self, "Caps {caps}");
                let takes = source.src_pad().peer_query_caps(None);
                if !takes.can_intersect(caps) {
                    gst::element_imp_error!(
                        self,
                        gst::StreamError::Format,
                        ("The producer's frames are {caps}, but downstream takes {takes}. Change either side's caps, or put videoconvert and \
                             videoscale in between")
                    );
                    self.has_ended.store(true, Ordering::Relaxed);
                    return Err(gst::FlowError::Eos);
                }
                // It is refused by a pad that is flushing, too; then pushing the buffer says the same.
                let _ = source.set_caps(caps);
                Ok(())
            }
        }
    }
}
