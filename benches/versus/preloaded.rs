//! The functions of camera.c and allocations.c, which are preloaded, and so found by name.

use std::{
    ffi::{CStr, c_char, c_void},
    mem,
};

fn find(name: &CStr) -> *mut c_void {
    // SAFETY: a look-up by name among what is loaded.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    assert!(!found.is_null(), "{name:?} is not preloaded");
    found
}

type Moment = extern "C" fn(u32) -> u64;

/// In nanoseconds of CLOCK_MONOTONIC, by the number of the frame's request; the last 65536 are known.
pub struct Moments {
    /// The camera began with the frame.
    pub begun: Moment,
    /// libcamera called the application.
    pub completed: Moment,
}

pub fn moments() -> Moments {
    // SAFETY: this is how camera.c declares them.
    unsafe {
        Moments {
            begun: mem::transmute::<*mut c_void, Moment>(find(c"versus_begun")),
            completed: mem::transmute::<*mut c_void, Moment>(find(c"versus_completed")),
        }
    }
}

pub fn count_allocations() {
    // SAFETY: this is how allocations.c declares it.
    let begin: extern "C" fn() = unsafe { mem::transmute(find(c"versus_allocations_begin")) };
    begin();
}

/// Calls by library, since the counting began.
pub fn allocations() -> Vec<(String, f64)> {
    let mut text = [0_u8; 16384];
    // SAFETY: this is how allocations.c declares it; the text has that size.
    unsafe {
        let end: extern "C" fn(*mut c_char, usize) =
            mem::transmute(find(c"versus_allocations_end"));
        end(text.as_mut_ptr().cast(), text.len());
    }
    let text = CStr::from_bytes_until_nul(&text).unwrap().to_str().unwrap();
    let line = |line: &str| {
        let (name, calls) = line.split_once(' ').unwrap();
        (name.to_owned(), calls.parse().unwrap())
    };
    text.lines().map(line).collect()
}
