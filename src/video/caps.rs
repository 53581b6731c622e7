//! Caps: what a camera offers, what is chosen, what it becomes.

use super::{
    colorimetry::{color_space, colorimetry},
    format::{Media, drm, media},
};
use crate::camera::{ColorSpace, PixelFormat, Size, StreamConfig, StreamFormat};
use gst::prelude::*;
use gst_allocators::CAPS_FEATURE_MEMORY_DMABUF;
use gst_video::VideoFormatInfo;

/// The camera's formats and what it can do in time.
#[derive(Clone, Debug)]
pub struct Offer {
    /// What the camera would choose by itself.
    pub default: StreamConfig,
    /// In the camera's order.
    pub formats: Vec<StreamFormat>,
    /// Shortest and longest frame duration in microseconds, where the camera can say. Of the configuration that it has, or had last: others may
    /// have others.
    pub durations: Option<(u64, u64)>,
    /// What rates are held to: the durations of the configuration that is meant, where it has shown them already.
    pub limits: Option<(u64, u64)>,
    /// Whether peers that name `memory:DMABuf` get it.
    pub dmabuf: bool,
    /// Whether we hold the frame rate by queueing requests, so that any rate below the camera's fastest is possible.
    pub paced: bool,
    /// The one frame rate there may be, where other streams of the camera have settled it.
    pub rate: Option<gst::Fraction>,
}

/// A format, size and rate out of an [`Offer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    pub format: PixelFormat,
    pub media: Media,
    pub size: Size,
    /// 0/1 where nobody asked for one.
    pub framerate: gst::Fraction,
    /// As the peer spells it, where it asks for one.
    pub colorimetry: Option<String>,
    /// libcamera does not know where chroma samples lie: the peer's word counts.
    pub chroma_site: Option<String>,
}

impl Choice {
    pub fn color_space(&self) -> Option<ColorSpace> {
        self.colorimetry.as_deref().and_then(color_space)
    }
}

const VARIABLE: gst::Fraction = gst::Fraction::new_raw(0, 1);
/// Where the rate is ours to choose.
const USUAL: gst::Fraction = gst::Fraction::new_raw(30, 1);
/// Of sensors' processors: chroma lies on the left pixel of each pair.
const USUAL_SITE: &str = "mpeg2";
const MICROSECONDS: u64 = 1_000_000;

impl Offer {
    /// Everything that the camera can deliver, a structure for each format and size.
    pub fn caps(&self) -> gst::Caps {
        let mut caps = self.caps_of(self.plain());
        caps.merge(self.caps_of(self.dmabufs()));
        caps
    }

    fn caps_of<'a>(&self, medias: impl Iterator<Item = (&'a StreamFormat, Media)>) -> gst::Caps {
        let framerate = self.framerate_value();
        let mut caps = gst::Caps::new_empty();
        for (offered, media) in medias {
            let mut add = |width: glib::SendValue, height: glib::SendValue| {
                let mut structure = media.structure();
                structure.set_value("width", width);
                structure.set_value("height", height);
                structure.set_value("framerate", framerate.clone());
                caps.make_mut()
                    .append_structure_full(structure, Some(media.features()));
            };
            for size in &offered.sizes {
                add(
                    (size.width as i32).to_send_value(),
                    (size.height as i32).to_send_value(),
                );
            }
            let range = offered
                .range
                .filter(|range| range.min != range.max || !offered.sizes.contains(&range.min));
            let range = range.and_then(|range| {
                let width = int_range(range.min.width, range.max.width, range.step.width)?;
                Some((
                    width,
                    int_range(range.min.height, range.max.height, range.step.height)?,
                ))
            });
            if let Some((width, height)) = range {
                add(width, height);
            }
        }
        caps
    }

    fn plain(&self) -> impl Iterator<Item = (&StreamFormat, Media)> {
        let plain = |offered: &StreamFormat| media(offered.format);
        self.formats
            .iter()
            .filter_map(move |offered| Some((offered, plain(offered)?)))
    }

    fn dmabufs(&self) -> impl Iterator<Item = (&StreamFormat, Media)> {
        let offered = self.formats.iter().filter(|_| self.dmabuf);
        offered.filter_map(|offered| Some((offered, drm(offered.format)?)))
    }

    /// Whether there is anything that GStreamer has caps for.
    pub fn is_empty(&self) -> bool {
        self.plain().chain(self.dmabufs()).next().is_none()
    }

    fn framerate_value(&self) -> glib::SendValue {
        if let Some(rate) = self.rate {
            return rate.to_send_value();
        }
        let (slowest, fastest) = match self.limits {
            Some((shortest, longest)) => (rate(longest), rate(shortest)),
            None => (VARIABLE, gst::Fraction::new(i32::MAX, 1)),
        };
        if self.paced || slowest == VARIABLE {
            gst::FractionRange::new(VARIABLE, fastest).to_send_value()
        } else if slowest < fastest {
            let range = gst::FractionRange::new(slowest, fastest);
            gst::List::from_values([VARIABLE.to_send_value(), range.to_send_value()])
                .to_send_value()
        } else {
            gst::List::new([VARIABLE, fastest]).to_send_value()
        }
    }

    /// All that a peer with these caps leaves open, the best first: in the order of the peer's structures, which is its preference; then nearest
    /// in size to what the camera would choose by itself; then in the camera's order.
    pub fn choices(&self, peer: &gst::Caps) -> Vec<Choice> {
        let plain = self.caps_of(self.plain());
        let dmabufs = self.caps_of(self.dmabufs());
        let mut choices: Vec<Choice> = Vec::new();
        for wish in wishes(peer) {
            // Who takes anything has not said that it knows what to do with a DMABUF.
            let offered = if names_dmabuf(&wish) {
                &dmabufs
            } else {
                &plain
            };
            let mut best = self.choices_of(&offered.intersect(&wish));
            best.retain(|choice| !choices.contains(choice));
            choices.extend(best);
        }
        choices
    }

    /// The frame rates that a peer with these caps leaves open, as caps with nothing else in them.
    pub fn rates(&self, peer: &gst::Caps) -> gst::Caps {
        let mut rates = gst::Caps::new_empty();
        for structure in self.caps().intersect(peer).iter() {
            if let Ok(rate) = structure.value("framerate") {
                let mut only = gst::Structure::new_empty("rate");
                only.set_value("framerate", rate.clone());
                rates.merge_structure(only);
            }
        }
        rates
    }

    fn choices_of(&self, allowed: &gst::CapsRef) -> Vec<Choice> {
        let default = self.default.size;
        let mut choices = Vec::new();
        for structure in allowed.iter() {
            for (rank, (offered, media)) in self.plain().chain(self.dmabufs()).enumerate() {
                if media.is_in(structure)
                    && let Some(choice) = self.fixate(structure, offered.format, media)
                {
                    choices.push(((distance(choice.size, default), rank), choice));
                }
            }
        }
        choices.sort_by_key(|(key, _)| *key);
        let mut choices: Vec<Choice> = choices.into_iter().map(|(_, choice)| choice).collect();
        choices.dedup();
        choices
    }

    fn fixate(
        &self,
        structure: &gst::StructureRef,
        format: PixelFormat,
        media: Media,
    ) -> Option<Choice> {
        let mut structure = structure.to_owned();
        structure.fixate_field_nearest_int("width", self.default.size.width as i32);
        structure.fixate_field_nearest_int("height", self.default.size.height as i32);
        let free = gst::Caps::builder_full()
            .structure(structure.clone())
            .build();
        let with_rate = |rate: gst::Fraction| {
            let wanted = gst::Structure::builder(structure.name().as_str())
                .field("framerate", rate)
                .build();
            free.can_intersect(&gst::Caps::builder_full().structure(wanted).build())
        };
        let framerate = if !self.paced && with_rate(VARIABLE) {
            VARIABLE
        } else {
            structure.fixate_field_nearest_fraction("framerate", USUAL);
            structure.get("framerate").ok()?
        };
        let colorimetry = match texts(&structure, "colorimetry") {
            texts if texts.is_empty() => None,
            texts => Some(self.colorimetry_of(texts)?),
        };
        let chroma_site = texts(&structure, "chroma-site").into_iter().next();
        let dimension = |name: &str| u32::try_from(structure.get::<i32>(name).ok()?).ok();
        Some(Choice {
            format,
            media,
            size: Size::new(dimension("width")?, dimension("height")?),
            framerate,
            colorimetry,
            chroma_site,
        })
    }

    /// The camera's own colorimetry where the peer takes it, or the first that libcamera has words for.
    fn colorimetry_of(&self, mut texts: Vec<String>) -> Option<String> {
        texts.retain(|text| color_space(text).is_some());
        let own = texts
            .iter()
            .position(|text| color_space(text) == self.default.color_space);
        (!texts.is_empty()).then(|| texts.swap_remove(own.unwrap_or_default()))
    }

    /// The caps of a stream that the camera has agreed to.
    pub fn fixed_caps(&self, choice: &Choice, agreed: &StreamConfig) -> gst::Caps {
        let mut structure = choice.media.structure();
        structure.set("width", agreed.size.width as i32);
        structure.set("height", agreed.size.height as i32);
        structure.set("framerate", choice.framerate);
        if choice.framerate == VARIABLE
            && let Some((shortest, _)) = self.durations
        {
            structure.set("max-framerate", rate(shortest));
        }
        structure.set("pixel-aspect-ratio", gst::Fraction::new(1, 1));
        structure.set("interlace-mode", "progressive");
        if let Some(format) = choice.media.video_format() {
            // The same space may have several names: the peer's is kept.
            let kept = || {
                choice
                    .color_space()
                    .is_some_and(|asked| agreed.color_space == Some(asked))
            };
            let colorimetry = match &choice.colorimetry {
                Some(asked) if kept() => Some(asked.clone()),
                _ => agreed.color_space.as_ref().and_then(colorimetry),
            };
            if let Some(colorimetry) = colorimetry {
                structure.set("colorimetry", colorimetry);
            }
            let subsampled = VideoFormatInfo::from_format(format)
                .w_sub()
                .iter()
                .any(|shift| *shift > 0);
            if subsampled {
                structure.set(
                    "chroma-site",
                    choice.chroma_site.as_deref().unwrap_or(USUAL_SITE),
                );
            }
        }
        gst::Caps::builder_full()
            .structure_with_features(structure, choice.media.features())
            .build()
    }

    /// Whether there are frames of that rate within these limits. The ones that we pace may be slower than the camera's.
    pub fn is_possible(&self, framerate: gst::Fraction, (shortest, longest): (u64, u64)) -> bool {
        is_possible(
            framerate,
            (shortest, if self.paced { u64::MAX } else { longest }),
        )
    }

    /// What the camera can do, for people.
    pub fn describe(&self) -> String {
        let named = |offered: &StreamFormat| media(offered.format).or_else(|| drm(offered.format));
        let formats: Vec<String> = self
            .formats
            .iter()
            .filter_map(|offered| Some((offered, named(offered)?)))
            .map(|(offered, media)| {
                let structure = media.structure();
                let format = ["drm-format", "format"]
                    .into_iter()
                    .find_map(|field| structure.get::<&str>(field).ok())
                    .unwrap_or(structure.name());
                // Beside a range, the list is libcamera's own of usual sizes.
                let sizes = match offered.range {
                    Some(range) if range.min != range.max => {
                        format!("{} to {}", range.min, range.max)
                    }
                    _ => offered
                        .sizes
                        .iter()
                        .map(Size::to_string)
                        .collect::<Vec<_>>()
                        .join(", "),
                };
                format!("{format} at {sizes}")
            })
            .collect();
        let rates = match self.durations {
            Some((shortest, longest)) if longest > shortest => {
                let (slowest, fastest) = (per_second(longest), per_second(shortest));
                format!(", {slowest} to {fastest} frames per second")
            }
            Some((shortest, _)) => format!(", {} frames per second", per_second(shortest)),
            None => String::new(),
        };
        format!("{}{rates}", formats.join("; "))
    }
}

/// The frame duration in microseconds that a camera with these limits is to hold, where somebody asked for a rate and it can.
pub fn frame_duration(framerate: gst::Fraction, limits: Option<(u64, u64)>) -> Option<u64> {
    let (shortest, longest) = limits?;
    let (numerator, denominator) = positive(framerate)?;
    let duration = (MICROSECONDS * denominator + numerator / 2) / numerator;
    Some(duration.clamp(shortest, longest))
}

/// Whether frames of that rate can last as long as that, in microseconds. A rate that a camera says it has need not be a whole number of those.
fn is_possible(framerate: gst::Fraction, (shortest, longest): (u64, u64)) -> bool {
    let Some((numerator, denominator)) = positive(framerate) else {
        return true;
    };
    let above = (MICROSECONDS * denominator).div_ceil(numerator);
    let below = MICROSECONDS * denominator / numerator;
    above >= shortest && below <= longest
}

/// The usual rate, or the one nearest to it that is in all of these.
pub fn common_rate(rates: impl IntoIterator<Item = gst::Caps>) -> Option<gst::Fraction> {
    let common = rates
        .into_iter()
        .reduce(|common, rates| common.intersect(&rates))?;
    let mut structure = common.structure(0)?.to_owned();
    structure.fixate_field_nearest_fraction("framerate", USUAL);
    structure.get("framerate").ok()
}

/// Each of the structures of a peer's caps, as caps.
fn wishes(peer: &gst::Caps) -> Vec<gst::Caps> {
    if peer.is_any() {
        return vec![peer.clone()];
    }
    peer.iter_with_features()
        .map(|(structure, features)| {
            gst::Caps::builder_full()
                .structure_with_features(structure.to_owned(), features.to_owned())
                .build()
        })
        .collect()
}

fn names_dmabuf(wish: &gst::Caps) -> bool {
    wish.features(0)
        .is_some_and(|features| !features.is_any() && features.contains(CAPS_FEATURE_MEMORY_DMABUF))
}

/// The time from one frame to the next, in nanoseconds. `None` for a rate that varies.
pub fn frame_interval(framerate: gst::Fraction) -> Option<u64> {
    let (numerator, denominator) = positive(framerate)?;
    Some((1000 * MICROSECONDS * denominator + numerator / 2) / numerator)
}

fn positive(framerate: gst::Fraction) -> Option<(u64, u64)> {
    let numerator = u64::try_from(framerate.numer())
        .ok()
        .filter(|numerator| *numerator > 0)?;
    Some((numerator, u64::try_from(framerate.denom()).ok()?))
}

/// Frames per second for a duration in microseconds.
pub fn rate(duration: u64) -> gst::Fraction {
    gst::Fraction::new(
        MICROSECONDS as i32,
        i32::try_from(duration.max(1)).unwrap_or(i32::MAX),
    )
}

/// The same for people.
pub fn per_second(duration: u64) -> String {
    let rate = MICROSECONDS as f64 / duration.max(1) as f64;
    let rounded = (rate * 100.0).round() / 100.0;
    rounded.to_string()
}

fn distance(size: Size, wanted: Size) -> u64 {
    u64::from(size.width.abs_diff(wanted.width)) + u64::from(size.height.abs_diff(wanted.height))
}

/// A field's text, or all that it leaves open.
fn texts(structure: &gst::StructureRef, name: &str) -> Vec<String> {
    if let Ok(text) = structure.get::<String>(name) {
        return vec![text];
    }
    let list = structure.get::<gst::List>(name);
    let texts = list.iter().flat_map(|list| list.iter());
    texts.filter_map(|text| text.get().ok()).collect()
}

/// A range as GStreamer can say it: between multiples of its step. A camera whose steps begin elsewhere has its sizes listed instead.
fn int_range(min: u32, max: u32, step: u32) -> Option<glib::SendValue> {
    if !min.is_multiple_of(step) {
        return None;
    }
    let (min, max, step) = (min as i32, (max / step * step) as i32, step as i32);
    Some(if min < max {
        gst::IntRange::with_step(min, max, step).to_send_value()
    } else {
        min.to_send_value()
    })
}

#[cfg(test)]
mod tests;
