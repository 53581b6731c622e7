//! What each pad is to get: the first combination of choices that the camera delivers as it is and every peer accepts.

use super::{
    error,
    imp::LibcameraSrc,
    negotiation::{self, Combinations, Held, Plan, PlannedStream, Unmet, Wish},
    opened::Opened,
    pad::LibcameraSrcPad,
};
use crate::camera::{CameraError, MAX_STREAMS, Orientation, StreamConfig, StreamRole};
use crate::video::caps::{Choice, Offer};
use crate::video::orientation::wanted;
use gst::prelude::*;

/// Why a combination is not the one.
enum Unfit {
    /// The camera would adjust this stream.
    Adjusted(usize),
    /// The camera has shown that it does not have this rate there.
    Rate(CameraError),
    /// Downstream of this pad takes no such caps.
    Refused(usize, gst::Caps),
}

fn closed() -> gst::ErrorMessage {
    gst::error_msg!(
        gst::CoreError::StateChange,
        ("the camera is not open: set the pipeline to NULL, and then to PLAYING")
    )
}

impl LibcameraSrc {
    pub fn with_opened<T>(
        &self,
        work: impl FnOnce(&mut Opened) -> Result<T, CameraError>,
    ) -> Result<T, gst::ErrorMessage> {
        let mut camera = self.camera.lock();
        let opened = camera.as_mut().ok_or_else(closed)?;
        work(opened).map_err(|error| error::message(&error))
    }

    pub fn planned(
        &self,
        pads: &[LibcameraSrcPad],
        wishes: &[Wish],
    ) -> Result<(Plan, Vec<Offer>), gst::ErrorMessage> {
        let roles: Vec<StreamRole> = wishes.iter().map(|wish| wish.role).collect();
        if roles.len() > MAX_STREAMS {
            return Err(gst::error_msg!(
                gst::ResourceError::Settings,
                (
                    "{} pads are linked; a camera has {MAX_STREAMS} streams at most. Put a tee behind one of the pads instead",
                    roles.len()
                )
            ));
        }
        let settings = self.settings.lock();
        let (paced, orientation) = (settings.pace, wanted(settings.video_direction));
        drop(settings);
        let offers = self.with_opened(|opened| {
            opened.device.set_orientation(orientation);
            let offers = negotiation::offers(&*opened.device, &roles)?;
            let exports = opened.exports;
            let here = |offer: Offer| Offer {
                paced,
                dmabuf: offer.dmabuf && exports,
                ..offer
            };
            Ok(offers.into_iter().map(here).collect::<Vec<_>>())
        })?;
        let lists = negotiation::candidates(&offers, wishes)
            .map_err(|unmet| unmet_message(&unmet, &offers, wishes))?;
        let first: Vec<Choice> = lists
            .iter()
            .filter_map(|list| list.first().cloned())
            .collect();
        let (mut refused, mut slow, mut adjusted) = (None, None, None);
        let mut held = Held::new(&offers, wishes);
        // Sizes that lack the rate in one format are asked for in another only when no other size has it.
        for guesses in [true, false] {
            let mut combinations = Combinations::new(lists.clone());
            loop {
                let last = wishes.len().saturating_sub(1);
                let choices = combinations.current();
                let next = match self.fit(pads, &roles, &mut held, choices, guesses)? {
                    Ok(choices) => return Ok((plan(wishes, choices, orientation), offers)),
                    Err(Unfit::Adjusted(pad)) => {
                        adjusted.get_or_insert(pad);
                        pad
                    }
                    Err(Unfit::Rate(error)) => {
                        slow.get_or_insert(error);
                        last
                    }
                    Err(Unfit::Refused(pad, caps)) => {
                        refused.get_or_insert((pad, caps));
                        pad
                    }
                };
                if !combinations.advance(next) {
                    break;
                }
            }
            if slow.is_none() {
                break;
            }
        }
        if let Some(error) = slow {
            return Err(error::message(&error));
        }
        if let Some((wish, caps)) = refused.and_then(|(pad, caps)| Some((wishes.get(pad)?, caps))) {
            let Wish { pad, peer, .. } = wish;
            return Err(gst::error_msg!(
                gst::StreamError::Format,
                ("downstream of {pad} refuses the camera's {caps}; it asks for {peer}. Ask for less, or put a converter behind the camera (videoconvert)")
            ));
        }
        let pad = adjusted.unwrap_or_default();
        self.with_opened(|opened| {
            let device = &*opened.device;
            Err(negotiation::adjusted(device, &roles, &offers, &first, pad))
        })
    }

    /// The same choices, or as near to them as the camera's rates allow, which may be guessed from those of another format.
    fn fit(
        &self,
        pads: &[LibcameraSrcPad],
        roles: &[StreamRole],
        held: &mut Held<'_>,
        choices: Vec<Choice>,
        guesses: bool,
    ) -> Result<Result<Vec<Choice>, Unfit>, gst::ErrorMessage> {
        let offers = held.offers;
        let delivered = self.with_opened(|opened| {
            let device = &*opened.device;
            let limits = if guesses {
                opened.likely_limits(&choices)
            } else {
                opened.limits(&choices)
            };
            let choices = match (limits, choices.first()) {
                (Some(limits), Some(first)) => {
                    let slow = negotiation::rate_refused(device, first, limits);
                    match held.within(choices, limits) {
                        Some(choices) => choices,
                        None => return Ok(Err(Unfit::Rate(slow))),
                    }
                }
                _ => choices,
            };
            let agreed = negotiation::validate(device, roles, offers, &choices)?;
            Ok(agreed
                .map(|agreed| (choices, agreed))
                .map_err(Unfit::Adjusted))
        })?;
        Ok(delivered.and_then(
            |(choices, agreed)| match refusal(pads, offers, &choices, &agreed) {
                Some((pad, caps)) => Err(Unfit::Refused(pad, caps)),
                None => Ok(choices),
            },
        ))
    }
}

/// The first pad whose peer does not take its caps.
fn refusal(
    pads: &[LibcameraSrcPad],
    offers: &[Offer],
    choices: &[Choice],
    agreed: &[StreamConfig],
) -> Option<(usize, gst::Caps)> {
    let caps = offers
        .iter()
        .zip(choices)
        .zip(agreed)
        .map(|((offer, choice), agreed)| offer.fixed_caps(choice, agreed));
    pads.iter()
        .zip(caps)
        .enumerate()
        .find(|(_, (pad, caps))| pad.is_linked() && !pad.peer_query_accept_caps(caps))
        .map(|(pad, (_, caps))| (pad, caps))
}

fn plan(wishes: &[Wish], choices: Vec<Choice>, orientation: Orientation) -> Plan {
    let streams = wishes
        .iter()
        .zip(choices)
        .map(|(wish, choice)| PlannedStream {
            pad: wish.pad.clone(),
            role: wish.role,
            choice,
            frames: wish.frames,
            on_demand: wish.on_demand,
            memory: wish.memory.clone(),
        });
    Plan {
        streams: streams.collect(),
        orientation,
    }
}

/// What makes it out of what cameras deliver.
fn remedy(wish: Option<&Wish>) -> &'static str {
    let media = wish.and_then(|wish| Some(wish.peer.structure(0)?.name().as_str()));
    match media {
        Some("image/jpeg") => "Put `videoconvert ! jpegenc` behind the camera",
        Some("video/x-bayer") => {
            "Raw frames of a sensor come from a pad of the role raw (`src::stream-role=raw`), where the camera has such a stream"
        }
        _ => {
            "Put videoconvert behind the camera for another format, videoscale for another size, videorate for another frame rate"
        }
    }
}

fn unmet_message(unmet: &Unmet, offers: &[Offer], wishes: &[Wish]) -> gst::ErrorMessage {
    let asked = |wish: &Wish| format!("{} for {}", wish.peer, wish.pad);
    match unmet {
        Unmet::Pad(pad) => {
            let delivers = offers.get(*pad).map(Offer::describe).unwrap_or_default();
            let asked = wishes.get(*pad).map(asked).unwrap_or_default();
            gst::error_msg!(
                gst::StreamError::Format,
                (
                    "the camera cannot deliver what downstream asks for; it delivers {delivers}. {}",
                    remedy(wishes.get(*pad))
                ),
                ["downstream asks for {asked}"]
            )
        }
        Unmet::Rate => {
            let asked: Vec<String> = wishes.iter().map(asked).collect();
            gst::error_msg!(
                gst::StreamError::Format,
                ("the streams of one camera have one frame rate, and downstream asks for several; put videorate behind all but one of the pads"),
                ["downstream asks for {}", asked.join("; ")]
            )
        }
    }
}
