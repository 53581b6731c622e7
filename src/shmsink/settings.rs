//! What the user may set, and the only place that knows the defaults.

use crate::shm::layout::Limits;

#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub socket_path: Option<String>,
    pub perms: u32,
    /// 32 bits: C passes it through varargs, with the size that it has in the stock sink.
    pub shm_size: u32,
    pub wait_for_connection: bool,
    pub buffer_time: i64,
    pub client_window: u32,
    pub max_clients: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            socket_path: None,
            // Connecting takes the right to write, so that the 0640 of the stock sink keeps the group out.
            perms: 0o660,
            shm_size: 0,
            wait_for_connection: false,
            buffer_time: -1,
            client_window: 4,
            max_clients: 16,
        }
    }
}

impl Settings {
    pub(super) fn limits(&self) -> Limits {
        Limits {
            window: self.client_window as usize,
            max_clients: self.max_clients as usize,
            area_size: (self.shm_size > 0).then_some(u64::from(self.shm_size)),
        }
    }

    /// The mode of the shared memory: whoever may connect may read it, and nobody may write it.
    pub(super) fn area_mode(&self) -> u32 {
        (self.perms & 0o222) << 1
    }
}
