//! What each control does, in our own words. A control that is not listed has its libcamera name and its type.

use crate::camera::{ControlDefinition, ControlKind};

/// By libcamera's name of the control, without the vendor.
const TEXTS: &[(&str, &str)] = &[
    ("AeEnable", "Automatic exposure and gain, both at once"),
    (
        "AeState",
        "What automatic exposure is doing: idle, searching, or converged",
    ),
    (
        "AeMeteringMode",
        "Which part of the picture automatic exposure looks at",
    ),
    (
        "AeConstraintMode",
        "What automatic exposure keeps from being too dark or too bright",
    ),
    (
        "AeExposureMode",
        "How automatic exposure divides brightness between exposure time and gain",
    ),
    (
        "ExposureValue",
        "Brighter or darker than automatic exposure would have it, in EV: 1 is twice the light",
    ),
    (
        "ExposureTime",
        "Exposure time of a frame in microseconds. Sets the time where exposure-time-mode is manual",
    ),
    (
        "ExposureTimeMode",
        "Whether the exposure time is chosen by the camera or by exposure-time",
    ),
    (
        "AnalogueGain",
        "Gain of the sensor before digitising, as a factor; 1 is none. Sets the gain where analogue-gain-mode is manual",
    ),
    (
        "AnalogueGainMode",
        "Whether the gain is chosen by the camera or by analogue-gain",
    ),
    (
        "AeFlickerMode",
        "Whether exposure avoids the flicker of lamps, and who says how fast they flicker",
    ),
    (
        "AeFlickerPeriod",
        "Period of the lamps' flicker in microseconds, where ae-flicker-mode is manual: 10000 for 50 Hz mains, 8333 for 60 Hz",
    ),
    (
        "AeFlickerDetected",
        "Period of the flicker that the camera has found, in microseconds; 0 for none",
    ),
    (
        "Brightness",
        "Brightness, from -1 to 1 in most cameras; 0 leaves the picture as it is",
    ),
    (
        "Contrast",
        "Contrast as a factor; 1 leaves the picture as it is",
    ),
    ("Lux", "Illuminance of the scene in lux, estimated"),
    ("AwbEnable", "Automatic white balance"),
    ("AwbMode", "The light that automatic white balance expects"),
    ("AwbLocked", "Whether automatic white balance has settled"),
    (
        "ColourGains",
        "Gains of red and blue, two factors. Setting them turns automatic white balance off",
    ),
    (
        "ColourTemperature",
        "Colour temperature of the light in kelvin",
    ),
    (
        "Saturation",
        "Saturation as a factor; 0 is grey, 1 leaves the picture as it is",
    ),
    (
        "SensorBlackLevels",
        "Black levels of the sensor for red, green, green, blue, in a range of 16 bits",
    ),
    (
        "Sharpness",
        "Sharpening; 0 is none, 1 is what the camera's maker has chosen",
    ),
    (
        "FocusFoM",
        "How sharp the picture is; a larger number is sharper, on the same scene only",
    ),
    (
        "ColourCorrectionMatrix",
        "3x3 matrix from the sensor's colours to those of the picture, nine factors, row by row",
    ),
    (
        "ScalerCrop",
        "The part of the sensor that the picture shows: x, y, width, height in pixels of the sensor's full array. Digital zoom",
    ),
    ("DigitalGain", "Gain after digitising, as a factor"),
    ("FrameDuration", "Duration of the frame in microseconds"),
    (
        "FrameDurationLimits",
        "Shortest and longest frame duration in microseconds, two numbers. Goes before the frame rate of the caps",
    ),
    (
        "SensorTemperature",
        "Temperature of the sensor in degrees Celsius",
    ),
    (
        "SensorTimestamp",
        "When the exposure of the frame's first line began, in nanoseconds of the system's clock since boot",
    ),
    (
        "AfMode",
        "Who moves the lens: lens-position (manual), a scan for each af-trigger (auto), or the camera all the time (continuous)",
    ),
    ("AfRange", "The distances that autofocus searches"),
    ("AfSpeed", "How fast autofocus moves the lens"),
    (
        "AfMetering",
        "Whether autofocus looks at the whole picture or at af-windows",
    ),
    (
        "AfWindows",
        "Rectangles that autofocus looks at, each x, y, width, height in pixels of the sensor's full array",
    ),
    (
        "AfTrigger",
        "Starts a scan of autofocus, or cancels it, where af-mode is auto. Each time that it is set counts",
    ),
    (
        "AfPause",
        "Holds continuous autofocus where it is, at once or after the scan, or lets it go on",
    ),
    (
        "LensPosition",
        "Lens position in dioptres: 0 is infinity, 2 is half a metre. Sets the lens where af-mode is manual",
    ),
    (
        "AfState",
        "What autofocus is doing: idle, scanning, focused, or failed",
    ),
    (
        "AfPauseState",
        "Whether continuous autofocus runs, is about to pause, or is paused",
    ),
    ("HdrMode", "How frames of a high dynamic range are made"),
    (
        "HdrChannel",
        "Which of the exposures of a high dynamic range this frame is",
    ),
    ("Gamma", "Exponent of the tone curve; 2.2 in most cameras"),
    (
        "DebugMetadataEnable",
        "Reports controls of vendors for debugging with each frame",
    ),
    (
        "FrameWallClock",
        "When the frame was captured by the system's wall clock, in nanoseconds since 1970",
    ),
    ("WdrMode", "How a wide dynamic range is compressed"),
    (
        "WdrStrength",
        "How strongly a wide dynamic range is compressed; 0 is not at all",
    ),
    (
        "WdrMaxBrightPixels",
        "The part of pixels that may be saturated when a wide dynamic range is compressed, from 0 to 1",
    ),
    ("LensDewarpEnable", "Corrects the lens's distortion"),
    (
        "LensShadingCorrectionEnable",
        "Corrects the darkness of the picture's corners",
    ),
    (
        "Hue",
        "Turns all colours, in degrees; 0 leaves the picture as it is",
    ),
    (
        "AePrecaptureTrigger",
        "Starts or cancels the measuring before a still picture. Each time that it is set counts",
    ),
    (
        "NoiseReductionMode",
        "How noise is reduced: not at all, fast, or well",
    ),
    (
        "ColorCorrectionAberrationMode",
        "How colour fringes of the lens are corrected",
    ),
    ("AwbState", "What automatic white balance is doing"),
    (
        "SensorRollingShutterSkew",
        "Time from the first line's exposure to the last one's, in nanoseconds",
    ),
    (
        "LensShadingMapMode",
        "Reports the map of the lens's shading",
    ),
    ("PipelineDepth", "Stages that a frame went through"),
    (
        "MaxLatency",
        "Frames until a control has an effect; -1 is unknown",
    ),
    ("TestPatternMode", "A test picture instead of the scene"),
    (
        "FaceDetectMode",
        "Whether faces are looked for, and what is reported of them",
    ),
    ("FaceDetectFaceRectangles", "Faces that were found"),
    (
        "FaceDetectFaceScores",
        "How sure each face is, from 0 to 100",
    ),
    ("FaceDetectFaceLandmarks", "Eyes and mouths of the faces"),
    (
        "FaceDetectFaceIds",
        "Numbers of the faces, the same from frame to frame",
    ),
    (
        "StatsOutputEnable",
        "Reports the statistics of the image processor with each frame",
    ),
    (
        "SyncMode",
        "Whether this camera's frames are synchronised with those of another, and which of them leads",
    ),
    ("SyncReady", "Whether synchronised frames have begun"),
    (
        "SyncTimer",
        "Time until synchronised frames begin, in microseconds",
    ),
    ("SyncFrames", "Frames until synchronised ones begin"),
];

pub fn blurb(definition: &ControlDefinition) -> String {
    let known = TEXTS.iter().find(|(name, _)| *name == definition.name);
    let text = match known {
        Some((_, text)) => (*text).to_owned(),
        None => format!(
            "libcamera's control {}: {}",
            definition.name,
            kind(definition)
        ),
    };
    let what = match &definition.vendor {
        Some(vendor) => format!("control {} of {vendor}", definition.name),
        None => format!("control {}", definition.name),
    };
    if definition.is_input {
        format!("{text} ({what}; camera-controls tells the opened camera's range)")
    } else {
        format!("{text} ({what}, as last reported)")
    }
}

fn kind(definition: &ControlDefinition) -> String {
    let one = match definition.kind {
        ControlKind::Bool => "a boolean",
        ControlKind::U8 | ControlKind::U16 | ControlKind::U32 => "a number from 0 on",
        ControlKind::I32 | ControlKind::I64 => "a whole number",
        ControlKind::F32 => "a number",
        ControlKind::Rectangle => "x, y, width, height",
        ControlKind::Size => "width, height",
        ControlKind::Point => "x, y",
        ControlKind::Text => "a text",
    };
    match (definition.is_list, definition.length) {
        (false, _) => one.to_owned(),
        (true, Some(length)) => format!("{length} times {one}"),
        (true, None) => format!("any number of times {one}"),
    }
}
