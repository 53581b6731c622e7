//! Starts and stops sessions, and gives each pad its stream.
//!
//! The thread of `src` negotiates for all pads, so nothing else starts or replaces a session. Whoever wants a new configuration marks `src` and
//! nudges its outlet.

use super::{
    capture_task::Report,
    error,
    imp::{CAT, LibcameraSrc},
    negotiation::{self, Combinations, Plan, PlannedStream, Unmet, Wish},
    pad::LibcameraSrcPad,
    session::{Options, PadStream, Session},
};
use crate::camera::{CameraDevice, CameraError, MAX_STREAMS, StreamRole};
use crate::sync::Arc;
use crate::video::caps::{Choice, Offer};
use gst::{prelude::*, subclass::prelude::*};
use gst_base::prelude::*;

fn camera_error(error: CameraError) -> gst::ErrorMessage {
    error::message(&error)
}

fn closed() -> gst::ErrorMessage {
    gst::error_msg!(gst::CoreError::StateChange, ("the camera is not open"))
}

/// The pads that get a stream: those that are linked, and have not ended. If there is none, `src` alone, whose thread then says so.
fn participants(pads: Vec<LibcameraSrcPad>) -> Vec<LibcameraSrcPad> {
    let takes_part =
        |pad: &LibcameraSrcPad| pad.is_linked() && !pad.pad_flags().contains(gst::PadFlags::EOS);
    if pads.iter().any(takes_part) {
        pads.into_iter().filter(takes_part).collect()
    } else {
        pads.into_iter().take(1).collect()
    }
}

impl LibcameraSrc {
    pub fn session(&self) -> Option<Arc<Session>> {
        self.streaming.lock().session.clone()
    }

    /// Has the thread of `src` negotiate for all pads.
    pub fn renegotiate(&self) {
        let source = self.source_pad();
        source.mark_reconfigure();
        source.outlet().nudge();
    }

    /// Whether that is still to be done.
    pub fn is_to_negotiate(&self) -> bool {
        self.source_pad().needs_reconfigure()
    }

    /// Chooses, and (re)starts the camera if that changes what it delivers. A peer that refuses what it has just asked for may have changed its
    /// mind: it is asked again, as long as it does.
    pub fn negotiated(&self) -> Result<(), gst::ErrorMessage> {
        let pads = participants(self.all_pads());
        loop {
            let wishes = self.wishes(&pads);
            match self.configured(&pads, &wishes) {
                Err(_) if changed(&wishes, &self.wishes(&pads)) => (),
                done => return done,
            }
        }
    }

    fn configured(
        &self,
        pads: &[LibcameraSrcPad],
        wishes: &[Wish],
    ) -> Result<(), gst::ErrorMessage> {
        let (plan, offers) = self.planned(pads, wishes)?;
        let running = self.session();
        let stays = running.filter(|session| session.plan == plan && has_streams(session, pads));
        let session = match stays {
            Some(session) => session,
            None => {
                self.stop_session();
                let session = Arc::new(self.started(plan, &offers, pads)?);
                self.publish(&session, pads);
                gst::info!(CAT, imp = self, "{session:?}");
                self.check_controls();
                self.announce_latency();
                session
            }
        };
        self.set_caps_of_src(&session, pads)
    }

    /// The caps of `src`, where it has a stream. The other pads' threads send theirs.
    fn set_caps_of_src(
        &self,
        session: &Session,
        pads: &[LibcameraSrcPad],
    ) -> Result<(), gst::ErrorMessage> {
        let source = self.source_pad();
        let index = pads.iter().position(|pad| *pad == source);
        let Some(stream) = index.and_then(|index| session.streams.get(index)) else {
            return Ok(());
        };
        let mut progress = source.progress();
        let forgotten =
            (progress.announced.replace(session.number) != Some(session.number)).then(|| {
                progress.next_sequence = None;
                (progress.repack.take(), progress.relief.take())
            });
        drop(progress);
        drop(forgotten);
        // A peer that has changed its mind since has marked the pad, and is asked again before the next frame.
        if self.obj().set_caps(&stream.caps).is_ok() || source.needs_reconfigure() {
            return Ok(());
        }
        let caps = &stream.caps;
        Err(gst::error_msg!(
            gst::StreamError::Format,
            ("downstream refuses {caps}")
        ))
    }

    fn wishes(&self, pads: &[LibcameraSrcPad]) -> Vec<Wish> {
        pads.iter()
            .map(|pad| Wish {
                pad: pad.name().to_string(),
                role: pad.role(),
                peer: pad.peer_query_caps(None),
                frames: match self.settings.lock().buffer_count {
                    0 => pad.frames_needed(),
                    count => count,
                },
            })
            .collect()
    }

    fn with_device<T>(
        &self,
        work: impl FnOnce(&mut dyn CameraDevice) -> Result<T, CameraError>,
    ) -> Result<T, gst::ErrorMessage> {
        let mut camera = self.camera.lock();
        let opened = camera.as_mut().ok_or_else(closed)?;
        work(&mut *opened.device).map_err(camera_error)
    }

    /// The first combination of choices that the camera delivers as it is and every peer accepts.
    fn planned(
        &self,
        pads: &[LibcameraSrcPad],
        wishes: &[Wish],
    ) -> Result<(Plan, Vec<Offer>), gst::ErrorMessage> {
        let roles: Vec<StreamRole> = wishes.iter().map(|wish| wish.role).collect();
        if roles.len() > MAX_STREAMS {
            return Err(gst::error_msg!(
                gst::ResourceError::Settings,
                (
                    "{} pads are linked; a camera has {MAX_STREAMS} streams at most",
                    roles.len()
                )
            ));
        }
        let paced = self.settings.lock().pace;
        let offers = self.with_device(|device| negotiation::offers(device, &roles))?;
        let offers: Vec<Offer> = offers
            .into_iter()
            .map(|offer| Offer { paced, ..offer })
            .collect();
        let lists = negotiation::candidates(&offers, wishes)
            .map_err(|unmet| unmet_message(&unmet, &offers, wishes))?;
        let mut combinations = Combinations::new(lists);
        let first = combinations.current();
        let (mut refused, mut adjusted) = (None, None);
        loop {
            let choices = combinations.current();
            let agreed = self
                .with_device(|device| negotiation::validate(device, &roles, &offers, &choices))?;
            let next = match agreed {
                Err(pad) => {
                    adjusted.get_or_insert(pad);
                    pad
                }
                Ok(agreed) => {
                    let caps: Vec<gst::Caps> = offers
                        .iter()
                        .zip(&choices)
                        .zip(&agreed)
                        .map(|((offer, choice), agreed)| offer.fixed_caps(choice, agreed))
                        .collect();
                    let refuses = |(pad, caps): (&LibcameraSrcPad, &gst::Caps)| {
                        pad.is_linked() && !pad.peer_query_accept_caps(caps)
                    };
                    let Some(pad) = pads.iter().zip(&caps).position(refuses) else {
                        return Ok((plan(wishes, choices), offers));
                    };
                    refused = refused.or_else(|| Some((pad, caps.get(pad)?.clone())));
                    pad
                }
            };
            if !combinations.advance(next) {
                break;
            }
        }
        if let Some((wish, caps)) = refused.and_then(|(pad, caps)| Some((wishes.get(pad)?, caps))) {
            let Wish { pad, peer, .. } = wish;
            return Err(gst::error_msg!(
                gst::StreamError::Format,
                ("downstream of {pad} refuses the camera's {caps}; it asks for {peer}. Ask for less, or put a converter behind the camera (videoconvert)")
            ));
        }
        let pad = adjusted.unwrap_or_default();
        let error = self.with_device(|device| {
            Ok(negotiation::adjusted(device, &roles, &offers, &first, pad))
        })?;
        Err(camera_error(error))
    }

    fn started(
        &self,
        plan: Plan,
        offers: &[Offer],
        pads: &[LibcameraSrcPad],
    ) -> Result<Session, gst::ErrorMessage> {
        let weak = self.obj().downgrade();
        let settings = self.settings.lock().clone();
        let timeout = (settings.stall_timeout > 0)
            .then(|| gst::ClockTime::from_nseconds(settings.stall_timeout));
        let names: Vec<String> = plan
            .streams
            .iter()
            .map(|stream| stream.pad.clone())
            .collect();
        let report = move |report: Report<'_>| {
            let Some(element) = weak.upgrade() else {
                return;
            };
            match report {
                Report::Failed(error) => element.imp().post_error_message(error::message(error)),
                Report::Stalled => {
                    let _ = element.post_message(error::stall_warning(&element, timeout));
                }
                Report::Starved(stream) => {
                    let name = names.get(stream).map_or("src", String::as_str);
                    let _ = element.post_message(error::starvation(&element, name));
                }
            }
        };
        let counts_itself = pads.first() == Some(&self.source_pad());
        let limit: i32 = self.obj().property("num-buffers");
        let options = Options {
            stall_timeout: timeout,
            all_streams: settings.all_streams,
            limit: u64::try_from(limit).ok().filter(|_| !counts_itself),
            clock: self.clock.clone(),
            controls: self.controls.clone(),
            outboxes: pads.iter().map(LibcameraSrcPad::outbox).collect(),
        };
        self.with_device(|device| Session::start(device, offers, plan, options, report))
    }

    /// From here on pads wait at the new session's streams.
    fn publish(&self, session: &Arc<Session>, pads: &[LibcameraSrcPad]) {
        let mut streaming = self.streaming.lock();
        streaming.session = Some(session.clone());
        let ended = streaming.eos;
        drop(streaming);
        if ended {
            session.state().end();
        }
        for (index, pad) in pads.iter().enumerate() {
            let stream = Arc::new(PadStream {
                session: session.clone(),
                index,
            });
            pad.outlet().set_stream(Some(stream.clone()));
            // It may have been set since the session was made.
            session.state().set_outbox_policy(index, pad.outbox());
            if pad.parent().is_none() {
                // It was released meanwhile.
                pad.outlet().reset();
                stream.mute();
            }
        }
    }

    pub fn stop_session(&self) {
        let session = self.streaming.lock().session.take();
        for pad in self.all_pads() {
            pad.outlet().set_stream(None);
        }
        let Some(session) = session else { return };
        session.halt();
        if let Some(opened) = self.camera.lock().as_mut() {
            session.finish(&mut *opened.device);
        }
    }

    /// Ends every pad, behind the frames that wait for it.
    pub fn end(&self) {
        let mut streaming = self.streaming.lock();
        streaming.eos = true;
        let session = streaming.session.clone();
        drop(streaming);
        if let Some(session) = session {
            session.state().end();
        }
        for pad in self.all_pads() {
            pad.outlet().end();
        }
    }

    /// Frees the frames that wait: they are stale.
    pub fn discard(&self) {
        if let Some(session) = self.session() {
            session.state().discard();
        }
    }
}

/// Whether each pad waits at its stream of this session. One that was requested anew, by the name of one that was released, does not.
fn has_streams(session: &Arc<Session>, pads: &[LibcameraSrcPad]) -> bool {
    pads.iter().enumerate().all(|(index, pad)| {
        let stream = pad.outlet().stream();
        stream.is_some_and(|stream| Arc::ptr_eq(&stream.session, session) && stream.index == index)
    })
}

fn plan(wishes: &[Wish], choices: Vec<Choice>) -> Plan {
    let streams = wishes
        .iter()
        .zip(choices)
        .map(|(wish, choice)| PlannedStream {
            pad: wish.pad.clone(),
            role: wish.role,
            choice,
            frames: wish.frames,
        });
    Plan {
        streams: streams.collect(),
    }
}

fn changed(before: &[Wish], now: &[Wish]) -> bool {
    before
        .iter()
        .zip(now)
        .any(|(before, now)| before.peer != now.peer)
}

fn unmet_message(unmet: &Unmet, offers: &[Offer], wishes: &[Wish]) -> gst::ErrorMessage {
    let asked = |wish: &Wish| format!("{} for {}", wish.peer, wish.pad);
    match unmet {
        Unmet::Pad(pad) => {
            let delivers = offers.get(*pad).map(Offer::describe).unwrap_or_default();
            let asked = wishes.get(*pad).map(asked).unwrap_or_default();
            gst::error_msg!(
                gst::StreamError::Format,
                ("the camera cannot deliver what downstream asks for; it delivers {delivers}"),
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
