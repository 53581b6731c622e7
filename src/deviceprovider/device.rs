//! One camera as a GstDevice.

use crate::camera::{CameraDescription, CameraInfo, ControlValue, Location, Scalar};
use crate::controls::plain_field;
use crate::video::caps::Offer;
use crate::video::format::knows_drm;
use gst::{prelude::*, subclass::prelude::*};

glib::wrapper! {
    pub struct LibcameraDevice(ObjectSubclass<imp::LibcameraDevice>) @extends gst::Device, gst::Object;
}

impl LibcameraDevice {
    /// `name` is for people; `is_default` says that it is the first of its system.
    pub fn new(description: CameraDescription, name: &str, is_default: bool) -> Self {
        let properties = properties(&description, is_default);
        let id = description.info.id.clone();
        let device: Self = glib::Object::builder()
            .property("display-name", name)
            .property("device-class", "Video/Source")
            .property("caps", caps(description))
            .property("properties", properties)
            .build();
        device.imp().set_camera(id);
        device
    }
}

/// With the frame rates that the camera says it has before it is configured.
fn caps(description: CameraDescription) -> gst::Caps {
    let offer = Offer {
        default: description.offer.default,
        formats: description.offer.formats,
        durations: description.frame_durations,
        limits: description.frame_durations,
        dmabuf: knows_drm(),
        paced: false,
        rate: None,
    };
    offer.caps()
}

fn properties(description: &CameraDescription, is_default: bool) -> gst::Structure {
    let mut structure = gst::Structure::builder("libcamera-device")
        .field("device.api", "libcamera")
        .field("api.libcamera.id", &description.info.id)
        .field("is-default", is_default)
        .build();
    for (name, value) in &description.properties {
        let value = match named(name, value) {
            Some(text) => text.to_send_value(),
            None => plain_field(value),
        };
        structure.set_value(format!("api.libcamera.{name}"), value);
    }
    structure
}

/// The values that libcamera gives names to.
fn named(property: &str, value: &ControlValue) -> Option<&'static str> {
    const LOCATIONS: [&str; 3] = [
        "CameraLocationFront",
        "CameraLocationBack",
        "CameraLocationExternal",
    ];
    const COLORS: [&str; 6] = ["RGGB", "GRBG", "GBRG", "BGGR", "RGB", "MONO"];
    let names: &[&str] = match property {
        "Location" => &LOCATIONS,
        "ColorFilterArrangement" => &COLORS,
        _ => return None,
    };
    match value {
        ControlValue::One(Scalar::I32(value)) => names.get(usize::try_from(*value).ok()?).copied(),
        _ => None,
    }
}

/// What people call a camera: its model and where it is; of several of one model, its id as well.
pub fn display_name(info: &CameraInfo, others: &[CameraInfo]) -> String {
    let Some(model) = &info.model else {
        return info.id.clone();
    };
    let place = match info.location {
        Some(Location::Front) => Some("front"),
        Some(Location::Back) => Some("back"),
        Some(Location::External) | None => None,
    };
    let same = |other: &CameraInfo| {
        other.id != info.id && (&other.model, other.location) == (&info.model, info.location)
    };
    let id = others.iter().any(same).then_some(info.id.as_str());
    let more: Vec<&str> = place.into_iter().chain(id).collect();
    if more.is_empty() {
        model.clone()
    } else {
        format!("{model} ({})", more.join(", "))
    }
}

mod imp {
    use super::*;
    use crate::sync::OnceLock;

    #[derive(Debug, Default)]
    pub struct LibcameraDevice {
        camera: OnceLock<String>,
    }

    impl LibcameraDevice {
        pub(super) fn set_camera(&self, id: String) {
            let _ = self.camera.set(id);
        }
    }

    #[glib::object_subclass]
    impl ObjectSubclass for LibcameraDevice {
        const NAME: &'static str = "GstLibcameraDeviceRs";
        type Type = super::LibcameraDevice;
        type ParentType = gst::Device;
    }

    impl ObjectImpl for LibcameraDevice {}
    impl GstObjectImpl for LibcameraDevice {}

    impl DeviceImpl for LibcameraDevice {
        fn create_element(&self, name: Option<&str>) -> Result<gst::Element, gst::LoggableError> {
            let element = gst::ElementFactory::make("libcamerasrc-rs")
                .property("camera-name", self.camera.get());
            let element = match name {
                Some(name) => element.name(name),
                None => element,
            };
            element
                .build()
                .map_err(|error| gst::loggable_error!(super::super::imp::CAT, "{error}"))
        }

        fn reconfigure_element(&self, element: &gst::Element) -> Result<(), gst::LoggableError> {
            let factory = element.factory().map(|factory| factory.name());
            if factory.as_deref() != Some("libcamerasrc-rs") {
                return Err(gst::loggable_error!(
                    super::super::imp::CAT,
                    "{} is not a libcamerasrc-rs",
                    element.name()
                ));
            }
            element.set_property("camera-name", self.camera.get());
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(id: &str, model: Option<&str>, location: Option<Location>) -> CameraInfo {
        CameraInfo {
            id: id.to_owned(),
            model: model.map(str::to_owned),
            location,
        }
    }

    #[test]
    fn names_are_for_people() {
        let phone = [
            info("/base/i2c@1/imx519", Some("imx519"), Some(Location::Back)),
            info("/base/i2c@2/imx519", Some("imx519"), Some(Location::Front)),
        ];
        assert_eq!(display_name(&phone[0], &phone), "imx519 (back)");
        assert_eq!(display_name(&phone[1], &phone), "imx519 (front)");
        let rig = [
            info("/usb1", Some("HD Webcam"), Some(Location::External)),
            info("/usb2", Some("HD Webcam"), Some(Location::External)),
            info("/usb3", Some("Microscope"), Some(Location::External)),
            info("/usb4", None, None),
        ];
        let names: Vec<String> = rig.iter().map(|one| display_name(one, &rig)).collect();
        assert_eq!(
            names,
            [
                "HD Webcam (/usb1)",
                "HD Webcam (/usb2)",
                "Microscope",
                "/usb4"
            ]
        );
    }
}
