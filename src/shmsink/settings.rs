//! What the user may set, and the only place that knows the defaults.

use std::time::Duration;

use super::fd::table::Table;
use crate::os::peer::Credentials;
use crate::shm::layout::Limits;
use crate::shm::server::Timeouts;

/// What a reader with a full window gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[enum_type(name = "GstShmSinkRsLeaky")]
pub enum Leaky {
    #[default]
    #[enum_value(
        name = "With its next ack it gets the newest frame at once",
        nick = "mailbox"
    )]
    Mailbox,
    #[enum_value(
        name = "After its next ack it gets the frames that come",
        nick = "skip"
    )]
    Skip,
}

/// How frames travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, glib::Enum)]
#[enum_type(name = "GstShmSinkRsTransport")]
pub enum Transport {
    #[default]
    #[enum_value(
        name = "In one area of shared memory, for shmsrc and shmsrc-rs",
        nick = "shm"
    )]
    Shm,
    #[enum_value(
        name = "As file descriptors of their own memory, for unixfdsrc and shmsrc-rs",
        nick = "fd"
    )]
    Fd,
}

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
    pub leaky: Leaky,
    pub transport: Transport,
    /// Nanoseconds, as those below.
    pub stall_timeout: u64,
    pub evict_after: u64,
    pub eos_drain_timeout: u64,
    pub allow_uids: Option<String>,
    pub allow_gids: Option<String>,
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
            leaky: Leaky::Mailbox,
            transport: Transport::Shm,
            stall_timeout: 2_000_000_000,
            evict_after: 0,
            eos_drain_timeout: 200_000_000,
            allow_uids: None,
            allow_gids: None,
        }
    }
}

impl Settings {
    pub(super) fn limits(&self) -> Limits {
        Limits {
            window: self.client_window as usize,
            max_clients: self.max_clients as usize,
            // Of the tickets of file descriptors there is no want.
            area_size: match self.transport {
                Transport::Shm => self.area_size(),
                Transport::Fd => None,
            },
            upstream: 0,
        }
    }

    pub(super) fn area_size(&self) -> Option<u64> {
        (self.shm_size > 0).then_some(u64::from(self.shm_size))
    }

    /// Where the frames are kept that go to readers as file descriptors.
    pub(super) fn table(&self) -> Option<Table> {
        (self.transport == Transport::Fd).then(Table::default)
    }

    /// Frames of upstream's that readers may have, which it is asked for: for two readers that keep all that they may.
    pub(super) fn spare(&self) -> usize {
        2 * self.client_window as usize
    }

    pub(super) fn timeouts(&self) -> Timeouts {
        let unless_zero =
            |nanoseconds| (nanoseconds > 0).then(|| Duration::from_nanos(nanoseconds));
        Timeouts {
            stall: unless_zero(self.stall_timeout),
            evict: unless_zero(self.evict_after),
        }
    }

    /// The mode of the shared memory: whoever may connect may read it, and nobody may write it.
    pub(super) fn area_mode(&self) -> u32 {
        (self.perms & 0o222) << 1
    }

    pub(super) fn allowed(&self) -> Result<Allowed, BadList> {
        Ok(Allowed {
            uids: numbers("allow-uids", self.allow_uids.as_deref())?,
            gids: numbers("allow-gids", self.allow_gids.as_deref())?,
        })
    }
}

#[derive(Debug, thiserror::Error)]
#[error(
    "{property} is {text:?}, which is no list of numbers. Set it to such as 1000,1001, or to nothing"
)]
pub(super) struct BadList {
    property: &'static str,
    text: String,
}

fn numbers(property: &'static str, text: Option<&str>) -> Result<Vec<u32>, BadList> {
    let text = text.unwrap_or_default();
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    text.split(',')
        .map(|number| number.trim().parse())
        .collect::<Result<_, _>>()
        .map_err(|_| BadList {
            property,
            text: text.to_owned(),
        })
}

/// Who may be a client, beside what the socket's mode says.
#[derive(Debug)]
pub(super) struct Allowed {
    uids: Vec<u32>,
    gids: Vec<u32>,
}

impl Allowed {
    pub(super) fn allows(&self, peer: &Credentials) -> bool {
        let everybody = self.uids.is_empty() && self.gids.is_empty();
        everybody || self.uids.contains(&peer.uid) || self.gids.contains(&peer.gid)
    }
}
