//! Threads' shared vocabulary: the only file that names `std::sync`, `parking_lot` or `loom`.
//!
//! Under `--cfg loom` the same names are loom's, so that what is model-checked is what ships.

#[cfg(not(loom))]
mod imp {
    pub use parking_lot::{Condvar, Mutex, MutexGuard};
    pub use std::sync::{Arc, LazyLock, OnceLock, Weak, atomic, mpsc};
}

#[cfg(loom)]
mod imp {
    //! loom's primitives with parking_lot's face: `lock()` gives the guard, there is no poison, and a wait keeps its guard.

    pub use loom::sync::{Arc, atomic};
    pub use std::sync::{LazyLock, OnceLock, Weak, mpsc};
    use std::{
        ops::{Deref, DerefMut},
        sync::PoisonError,
    };

    #[derive(Debug, Default)]
    pub struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }
        pub fn lock(&self) -> MutexGuard<'_, T> {
            MutexGuard(Some(self.0.lock().unwrap_or_else(PoisonError::into_inner)))
        }
        pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            Some(MutexGuard(Some(self.0.try_lock().ok()?)))
        }
    }

    /// Empty only while its condition is waited for.
    #[derive(Debug)]
    pub struct MutexGuard<'a, T>(Option<loom::sync::MutexGuard<'a, T>>);

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;
        fn deref(&self) -> &T {
            self.0.as_deref().unwrap_or_else(|| unreachable!())
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.0.as_deref_mut().unwrap_or_else(|| unreachable!())
        }
    }

    #[derive(Debug, Default)]
    pub struct Condvar(loom::sync::Condvar);

    impl Condvar {
        pub fn new() -> Self {
            Self::default()
        }
        pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
            guard.0 = guard
                .0
                .take()
                .map(|inner| self.0.wait(inner).unwrap_or_else(PoisonError::into_inner));
        }
        pub fn notify_one(&self) {
            self.0.notify_one();
        }
        pub fn notify_all(&self) {
            self.0.notify_all();
        }
    }
}

pub use imp::*;
