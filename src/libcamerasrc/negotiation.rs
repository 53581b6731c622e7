//! Which formats, sizes and rate: what the pads' peers ask for against what the camera offers. Everything here is asked and computed; the camera
//! is only looked at.

use super::session::frames::PeerMemory;
use crate::camera::{
    CameraDevice, CameraError, Orientation, Size, StreamConfig, StreamOffer, StreamRole,
};
use crate::video::caps::{Choice, Offer, common_rate, per_second};
use crate::video::format::knows_drm;

/// A pad that takes part, and what its peer can take.
#[derive(Clone, Debug)]
pub struct Wish {
    pub pad: String,
    pub role: StreamRole,
    pub peer: gst::Caps,
    /// Frames to ask the camera for; 0 leaves that to the camera.
    pub frames: u32,
    /// Its frames are taken only as stills.
    pub on_demand: bool,
    /// Memory that its peer has for its frames.
    pub memory: Option<PeerMemory>,
}

/// What each pad gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// How pictures are to lie.
    pub orientation: Orientation,
    pub streams: Vec<PlannedStream>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedStream {
    pub pad: String,
    pub role: StreamRole,
    pub choice: Choice,
    /// Frames to ask the camera for; 0 leaves that to the camera.
    pub frames: u32,
    /// Its frames are taken only as stills.
    pub on_demand: bool,
    /// Memory that its peer has for its frames.
    pub memory: Option<PeerMemory>,
}

/// What the camera offers for streams of these roles at once, not paced.
pub fn offers(device: &dyn CameraDevice, roles: &[StreamRole]) -> Result<Vec<Offer>, CameraError> {
    let offer = |(role, StreamOffer { default, formats }): (&StreamRole, StreamOffer)| {
        let offer = Offer {
            default,
            formats,
            durations: device.frame_durations(),
            limits: None,
            dmabuf: knows_drm(),
            paced: false,
            rate: None,
        };
        if offer.is_empty() {
            return Err(CameraError::NoStream {
                camera: device.id().to_owned(),
                role: format!("{role} in a format that GStreamer knows"),
            });
        }
        Ok(offer)
    };
    roles.iter().zip(device.offer(roles)?).map(offer).collect()
}

/// Why there is no plan.
#[derive(Debug)]
pub enum Unmet {
    /// The camera cannot deliver what this pad's peer asks for.
    Pad(usize),
    /// Each could be had alone, but not at one frame rate.
    Rate,
}

/// For each wish, the choices that it leaves, the best first, all at one frame rate: the sensor has no other.
pub fn candidates(offers: &[Offer], wishes: &[Wish]) -> Result<Vec<Vec<Choice>>, Unmet> {
    let choices = |rate: Option<gst::Fraction>| -> Vec<Vec<Choice>> {
        offers
            .iter()
            .zip(wishes)
            .map(|(offer, wish)| {
                let offer = Offer {
                    rate: rate.or(offer.rate),
                    ..offer.clone()
                };
                offer.choices(&wish.peer)
            })
            .collect()
    };
    let each = choices(None);
    if let Some(pad) = each.iter().position(Vec::is_empty) {
        return Err(Unmet::Pad(pad));
    }
    if each.len() == 1 {
        return Ok(each);
    }
    let favourites = each.iter().filter_map(|choices| choices.first());
    let mut rates: Vec<gst::Fraction> = favourites.map(|choice| choice.framerate).collect();
    // One that somebody asks for goes before 'as the camera likes'.
    rates.sort_by_key(|rate| rate.numer() == 0);
    let open = offers
        .iter()
        .zip(wishes)
        .map(|(offer, wish)| offer.rates(&wish.peer));
    rates.extend(common_rate(open));
    rates.dedup();
    rates
        .into_iter()
        .map(|rate| choices(Some(rate)))
        .find(|lists| lists.iter().all(|choices| !choices.is_empty()))
        .ok_or(Unmet::Rate)
}

/// Choices at rates that a camera has, of which many are asked for within few limits.
#[derive(Debug)]
pub struct Held<'a> {
    pub offers: &'a [Offer],
    wishes: &'a [Wish],
    /// The candidates within each of the limits that were asked for.
    known: Vec<(Limits, Option<Vec<Vec<Choice>>>)>,
}

/// Shortest and longest frame duration in microseconds.
type Limits = (u64, u64);

impl<'a> Held<'a> {
    pub fn new(offers: &'a [Offer], wishes: &'a [Wish]) -> Self {
        Self {
            offers,
            wishes,
            known: Vec::new(),
        }
    }

    /// The same sizes and formats, at a rate that the camera has there, as near to theirs as the peers allow.
    pub fn within(&mut self, choices: Vec<Choice>, limits: Limits) -> Option<Vec<Choice>> {
        let possible =
            |(choice, offer): (&Choice, &Offer)| offer.is_possible(choice.framerate, limits);
        if choices.iter().zip(self.offers).all(possible) {
            return Some(choices);
        }
        let lists = self.candidates(limits)?;
        lists
            .iter()
            .zip(choices)
            .map(|(list, same)| {
                let alike =
                    |choice: &&Choice| choice.media == same.media && choice.size == same.size;
                list.iter().find(alike).cloned()
            })
            .collect()
    }

    fn candidates(&mut self, limits: Limits) -> Option<&Vec<Vec<Choice>>> {
        let place = match self.known.iter().position(|(known, _)| *known == limits) {
            Some(place) => place,
            None => {
                let held = |offer: &Offer| Offer {
                    limits: Some(limits),
                    ..offer.clone()
                };
                let held: Vec<Offer> = self.offers.iter().map(held).collect();
                self.known
                    .push((limits, candidates(&held, self.wishes).ok()));
                self.known.len() - 1
            }
        };
        self.known.get(place)?.1.as_ref()
    }
}

/// The error of a rate that the camera does not have at that size.
pub fn rate_refused(
    device: &dyn CameraDevice,
    choice: &Choice,
    (shortest, longest): (u64, u64),
) -> CameraError {
    CameraError::FrameRate {
        camera: device.id().to_owned(),
        size: choice.size,
        wanted: choice.framerate.to_string(),
        slowest: per_second(longest),
        fastest: per_second(shortest),
    }
}

/// Goes through the combinations of one candidate for each pad.
#[derive(Debug)]
pub struct Combinations {
    lists: Vec<Vec<Choice>>,
    places: Vec<usize>,
    left: u32,
}

/// A camera is asked about no more combinations than this.
const MOST: u32 = 1000;

impl Combinations {
    /// No list is empty.
    pub fn new(lists: Vec<Vec<Choice>>) -> Self {
        Self {
            places: vec![0; lists.len()],
            lists,
            left: MOST,
        }
    }

    pub fn current(&self) -> Vec<Choice> {
        self.lists
            .iter()
            .zip(&self.places)
            .filter_map(|(list, place)| list.get(*place).cloned())
            .collect()
    }

    /// On to the next combination, another candidate for `pad` above all. False when there is none left.
    pub fn advance(&mut self, pad: usize) -> bool {
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            return false;
        }
        self.places
            .iter_mut()
            .skip(pad + 1)
            .for_each(|place| *place = 0);
        for pad in (0..=pad).rev() {
            let (Some(place), Some(list)) = (self.places.get_mut(pad), self.lists.get(pad)) else {
                return false;
            };
            *place += 1;
            if *place < list.len() {
                return true;
            }
            *place = 0;
        }
        false
    }
}

/// What to ask the camera for.
pub fn wanted(offer: &Offer, choice: &Choice) -> StreamConfig {
    StreamConfig {
        format: choice.format,
        size: choice.size,
        stride: 0,
        frame_size: 0,
        color_space: choice.color_space(),
        ..offer.default.clone()
    }
}

/// What the camera makes of a choice for each stream, or the first stream that would get another size or format than was chosen. Cameras
/// adjust some of the sizes that they offer.
pub fn validate(
    device: &dyn CameraDevice,
    roles: &[StreamRole],
    offers: &[Offer],
    choices: &[Choice],
) -> Result<Result<Vec<StreamConfig>, usize>, CameraError> {
    let wanted: Vec<StreamConfig> = offers
        .iter()
        .zip(choices)
        .map(|(offer, choice)| wanted(offer, choice))
        .collect();
    let agreed = device.validate(roles, &wanted)?;
    let kept = |(agreed, choice): (&StreamConfig, &Choice)| {
        agreed.size == choice.size && agreed.format == choice.format
    };
    Ok(
        match agreed.iter().zip(choices).position(|pair| !kept(pair)) {
            Some(adjusted) => Err(adjusted),
            None => Ok(agreed),
        },
    )
}

/// The error of choices of which the camera would adjust one. It names the sizes that it would keep.
pub fn adjusted(
    device: &dyn CameraDevice,
    roles: &[StreamRole],
    offers: &[Offer],
    choices: &[Choice],
    pad: usize,
) -> CameraError {
    let (Some(offer), Some(choice)) = (offers.get(pad), choices.get(pad)) else {
        return CameraError::NoStream {
            camera: device.id().to_owned(),
            role: "that pad".to_owned(),
        };
    };
    let offered = offer
        .formats
        .iter()
        .filter(|offered| offered.format == choice.format);
    let mut sizes: Vec<Size> = offered.flat_map(|offered| offered.sizes.clone()).collect();
    sizes.retain(|size| {
        let mut choices = choices.to_vec();
        if let Some(choice) = choices.get_mut(pad) {
            choice.size = *size;
        }
        matches!(validate(device, roles, offers, &choices), Ok(Ok(_)))
    });
    CameraError::SizeAdjusted {
        camera: device.id().to_owned(),
        format: choice.format,
        size: choice.size,
        sizes,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::camera::{PixelFormat, StreamFormat};

    const NV12: PixelFormat = PixelFormat::new(b"NV12");

    fn offer(paced: bool) -> Offer {
        let sizes = vec![Size::new(64, 64), Size::new(320, 240)];
        Offer {
            default: StreamConfig {
                format: NV12,
                size: Size::new(320, 240),
                stride: 0,
                frame_size: 0,
                buffer_count: 4,
                color_space: None,
            },
            formats: vec![StreamFormat {
                format: NV12,
                sizes,
                range: None,
            }],
            durations: Some((10_000, 100_000)),
            limits: Some((10_000, 100_000)),
            dmabuf: false,
            paced,
            rate: None,
        }
    }

    fn wish(caps: &str) -> Wish {
        gst::init().unwrap();
        Wish {
            pad: "src".to_owned(),
            role: StreamRole::VideoRecording,
            peer: caps.parse().unwrap(),
            frames: 0,
            on_demand: false,
            memory: None,
        }
    }

    fn rates(paced: bool, caps: &[&str]) -> Result<Vec<i32>, Unmet> {
        let wishes: Vec<Wish> = caps.iter().map(|caps| wish(caps)).collect();
        let offers = vec![offer(paced); caps.len()];
        let lists = candidates(&offers, &wishes)?;
        Ok(lists.iter().map(|list| list[0].framerate.numer()).collect())
    }

    #[test]
    fn the_streams_of_a_camera_have_one_frame_rate() {
        let (free, slow) = ("video/x-raw", "video/x-raw,framerate=15/1");
        for paced in [false, true] {
            assert_eq!(rates(paced, &[free, slow]).unwrap(), [15, 15]);
            assert_eq!(rates(paced, &[slow, free]).unwrap(), [15, 15]);
            let other = "video/x-raw,framerate=20/1";
            assert!(matches!(rates(paced, &[slow, other]), Err(Unmet::Rate)));
        }
        let ranges = [
            "video/x-raw,framerate=[10/1,20/1]",
            "video/x-raw,framerate=[15/1,30/1]",
        ];
        assert_eq!(rates(false, &ranges).unwrap(), [20, 20]);
        assert_eq!(rates(false, &[free, free]).unwrap(), [0, 0]);
        assert_eq!(rates(true, &[free, free]).unwrap(), [30, 30]);
    }

    #[test]
    fn a_rate_that_a_size_lacks_becomes_one_that_it_has() {
        let open = Offer {
            limits: None,
            ..offer(false)
        };
        let rate = |caps: &str| {
            let (offers, wishes) = ([open.clone()], [wish(caps)]);
            let lists = candidates(&offers, &wishes).unwrap();
            let first = lists.iter().map(|list| list[0].clone()).collect();
            let within = Held::new(&offers, &wishes).within(first, (50_000, 100_000))?;
            assert_eq!(within[0].size, Size::new(320, 240));
            Some(within[0].framerate.numer())
        };
        assert_eq!(rate("video/x-raw,framerate=15/1"), Some(15));
        assert_eq!(rate("video/x-raw,framerate=[12/1,60/1]"), Some(20));
        assert_eq!(rate("video/x-raw,framerate=30/1"), None);
        assert_eq!(rate("video/x-raw"), Some(0));
    }

    #[test]
    fn a_pad_that_asks_for_too_much_is_named() {
        let much = "video/x-raw,width=9999";
        assert!(matches!(
            rates(false, &["video/x-raw", much]),
            Err(Unmet::Pad(1))
        ));
    }

    #[test]
    fn combinations_try_the_others_of_a_pad_first_and_come_to_an_end() {
        let list = candidates(&[offer(false)], &[wish("video/x-raw")]).unwrap();
        let list = list[0].clone();
        assert_eq!(list.len(), 2);
        let mut all = Combinations::new(vec![list.clone(), list]);
        let widths = |all: &Combinations| -> Vec<u32> {
            all.current()
                .iter()
                .map(|choice| choice.size.width)
                .collect()
        };
        assert_eq!(widths(&all), [320, 320]);
        assert!(all.advance(1));
        assert_eq!(widths(&all), [320, 64]);
        assert!(all.advance(0));
        assert_eq!(widths(&all), [64, 320]);
        assert!(all.advance(1));
        assert_eq!(widths(&all), [64, 64]);
        assert!(!all.advance(1));
    }
}
