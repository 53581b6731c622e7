//! Threads' shared vocabulary: the only file that names `std::sync`, `parking_lot` or `loom`.
//!
//! Under `--cfg loom` the same names are loom's, so that what is model-checked is what ships.

#[cfg(not(loom))]
mod imp {
    pub use parking_lot::{Condvar, Mutex, MutexGuard};
    pub use std::sync::{Arc, LazyLock, OnceLock, Weak, atomic};
}

#[cfg(loom)]
mod imp {
    pub use loom::sync::{Arc, atomic};
    pub use std::sync::{LazyLock, OnceLock, Weak};

    /// loom's mutex with parking_lot's face: `lock()` gives the guard, there is no poison.
    #[derive(Debug, Default)]
    pub struct Mutex<T>(loom::sync::Mutex<T>);
    pub type MutexGuard<'a, T> = loom::sync::MutexGuard<'a, T>;

    impl<T> Mutex<T> {
        pub fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }
        pub fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(|poison| poison.into_inner())
        }
    }
}

pub use imp::*;
