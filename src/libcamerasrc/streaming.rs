//! Starts and stops sessions, and gives each pad its stream.
//!
//! The thread of `src` negotiates for all pads, so nothing else starts or replaces a session. Whoever wants a new configuration marks `src` and
//! nudges its outlet.

use super::{
    capture_task::{Report, Tell},
    error,
    imp::{CAT, LibcameraSrc},
    negotiation::{Plan, Wish},
    pad::{Capture, LibcameraSrcPad},
    session::{
        Options, PadStream, Session,
        frames::{Io, PeerMemory},
    },
    states,
};
use crate::camera::{CameraError, StreamRole};
use crate::sync::Arc;
use crate::video::caps::{Choice, Offer};
use gst::{prelude::*, subclass::prelude::*};
use gst_base::prelude::*;

/// Configurations of a camera that are tried for a frame rate before it is an error. Each takes the camera its time.
const MOST_TRIES: u32 = 8;

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
        let mut why = None;
        let mut tries = 0;
        let session = loop {
            let (plan, offers) = match self.planned(pads, wishes) {
                Ok(planned) => planned,
                Err(error) => return Err(why.unwrap_or(error)),
            };
            let running = self.session();
            let refusal = running.as_ref().and_then(|session| session.refusal());
            if let Some(why) = refusal.cloned() {
                self.with_opened(|opened| {
                    opened.refuses_peers = Some(why);
                    Ok(())
                })?;
            }
            let stays = running.filter(|session| {
                session.plan == plan && !session.is_stale() && has_streams(session, pads)
            });
            if let Some(session) = stays {
                break session;
            }
            self.stop_session();
            match self.started(&plan, &offers, pads)? {
                Ok(session) => {
                    let session = Arc::new(session);
                    self.publish(&session, pads);
                    gst::info!(CAT, imp = self, "{session:?}");
                    self.check_controls();
                    self.announce_latency();
                    break session;
                }
                Err(error) => {
                    gst::info!(CAT, imp = self, "planning again: {error}");
                    self.offer_what_is_left()?;
                    let why = why.get_or_insert(error::message(&error));
                    tries += 1;
                    // Whoever stops the element waits for this thread.
                    if tries >= MOST_TRIES || self.source_pad().outlet().is_flushing() {
                        return Err(why.clone());
                    }
                }
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
        let index = pads.iter().position(|pad| pad == source);
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
            ("downstream refuses the camera's {caps}. Ask for less, or put a converter behind the camera (videoconvert)")
        ))
    }

    fn wishes(&self, pads: &[LibcameraSrcPad]) -> Vec<Wish> {
        let flows = |pad: &LibcameraSrcPad| match pad.capture() {
            Capture::Auto => pad.role() != StreamRole::StillCapture,
            capture => capture == Capture::Continuous,
        };
        let some_flow = pads.iter().any(flows);
        pads.iter()
            .map(|pad| Wish {
                pad: pad.name().to_string(),
                role: pad.role(),
                peer: pad.peer_query_caps(None),
                memory: pad.peer_memory().and_then(PeerMemory::refreshed),
                on_demand: match pad.capture() {
                    Capture::Auto => some_flow && !flows(pad),
                    // One that is not linked is an error, and not a wait.
                    capture => capture == Capture::OnDemand && pad.is_linked(),
                },
                frames: match self.settings.lock().buffer_count {
                    0 => pad.frames_needed(),
                    count => count,
                },
            })
            .collect()
    }

    /// From now on caps queries are answered without what the camera has turned out to lack.
    fn offer_what_is_left(&self) -> Result<(), gst::ErrorMessage> {
        let exports = self.with_opened(|opened| Ok(opened.exports))?;
        for (_, offer) in self.offers.lock().iter_mut() {
            offer.dmabuf &= exports;
        }
        Ok(())
    }

    /// Starts the camera. The inner error is one that the next plan avoids.
    fn started(
        &self,
        plan: &Plan,
        offers: &[Offer],
        pads: &[LibcameraSrcPad],
    ) -> Result<Result<Session, CameraError>, gst::ErrorMessage> {
        let weak = self.obj().downgrade();
        let settings = self.settings.lock().clone();
        let timeout = (settings.stall_timeout > 0)
            .then(|| gst::ClockTime::from_nseconds(settings.stall_timeout));
        let names: Vec<String> = plan
            .streams
            .iter()
            .map(|stream| stream.pad.clone())
            .collect();
        let report: Tell = Arc::new(move |report: Report<'_>| {
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
                Report::Refused(control) => element.imp().warn_of_refusal(control),
                Report::Changed(news) => {
                    let _ = element.post_message(states::message(&element, &news));
                }
                Report::Still(outcome) => {
                    let name = names.get(outcome.stream).map_or("src", String::as_str);
                    element.imp().tell_of_still(name, &outcome);
                }
            }
        });
        let counts_itself = pads.first() == Some(self.source_pad());
        let limit: i32 = self.obj().property("num-buffers");
        let weak = self.obj().downgrade();
        let stale = move || {
            if let Some(element) = weak.upgrade() {
                element.imp().renegotiate();
            }
        };
        let refused = self.with_opened(|opened| Ok(opened.refuses_peers.clone()))?;
        let options = Options {
            stale: Arc::new(stale),
            stall_timeout: timeout,
            all_streams: settings.all_streams,
            limit: u64::try_from(limit).ok().filter(|_| !counts_itself),
            frame_metadata: settings.frame_metadata,
            state_messages: settings.state_messages,
            clock: self.clock.clone(),
            controls: self.controls.clone(),
            io: plan
                .streams
                .iter()
                .map(|stream| Io {
                    mode: settings.io_mode,
                    peer: stream.memory.clone(),
                    refused: refused.clone(),
                    frames: stream.frames,
                })
                .collect(),
            outboxes: pads.iter().map(LibcameraSrcPad::outbox).collect(),
        };
        let choices: Vec<Choice> = plan
            .streams
            .iter()
            .map(|stream| stream.choice.clone())
            .collect();
        let has_peers = options.io.iter().any(Io::tries_peer);
        self.with_opened(|opened| {
            match Session::start(&mut *opened.device, offers, plan.clone(), options, report) {
                Err(error) if opened.learn(&choices, has_peers, &error) => Ok(Err(error)),
                started => {
                    opened.runs = started.is_ok();
                    started.map(Ok)
                }
            }
        })
    }

    /// From here on pads wait at the new session's streams.
    fn publish(&self, session: &Arc<Session>, pads: &[LibcameraSrcPad]) {
        let mut streaming = self.streaming.lock();
        streaming.session = Some(session.clone());
        let ended = streaming.eos;
        drop(streaming);
        if ended {
            session.state().end();
            session.state().discard();
        }
        for (index, pad) in pads.iter().enumerate() {
            let stream = Arc::new(PadStream {
                session: session.clone(),
                index,
            });
            pad.outlet().set_stream(Some(stream.clone()));
            // It may have been set since the session was made.
            session.state().set_outbox_policy(index, pad.outbox());
            // It may have been released, or ended, since the plan was made.
            let is_released = pad.parent().is_none();
            if is_released {
                pad.outlet().reset();
            }
            if is_released || pad.pad_flags().contains(gst::PadFlags::EOS) {
                self.leave_stream(&stream);
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
        let mut camera = self.camera.lock();
        let finished = camera.as_mut().map(|opened| {
            opened.runs = false;
            session.finish(&mut *opened.device)
        });
        drop(camera);
        let (outcomes, held) = finished.unwrap_or_default();
        drop(held);
        self.tell_of_stills(&session, &outcomes);
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

fn changed(before: &[Wish], now: &[Wish]) -> bool {
    before
        .iter()
        .zip(now)
        .any(|(before, now)| before.peer != now.peer)
}
