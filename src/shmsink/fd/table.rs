//! The frames that readers may have, by the offsets that the server knows them by.

use std::collections::BTreeMap;

use crate::memory::descriptors::Descriptors;
use crate::memory::frame::MemoryKind;
use crate::shm::fd::wire;
use crate::shm::header::StreamState;
use crate::shm::server::{Claim, Need, Server};
use crate::shm::wire::Message;
use crate::sync::Arc;

/// A frame as it is sent.
#[derive(Debug)]
pub(in crate::shmsink) struct Content {
    command: Vec<u8>,
    descriptors: Descriptors,
    /// Frames of that pool of upstream's, if it has one.
    pool: usize,
    /// In memory of ours.
    pub is_copy: bool,
}

impl Content {
    pub fn new(command: Vec<u8>, descriptors: Descriptors, pool: usize, is_copy: bool) -> Self {
        Self {
            command,
            descriptors,
            pool,
            is_copy,
        }
    }

    pub fn command(&self) -> &[u8] {
        &self.command
    }

    pub fn descriptors(&self) -> Vec<std::os::fd::BorrowedFd<'_>> {
        self.descriptors.fds()
    }

    /// Of the memory, which may be longer than the frame.
    fn bytes(&self) -> u64 {
        self.descriptors.memory_bytes()
    }

    pub fn kind(&self) -> MemoryKind {
        self.descriptors.kind()
    }

    pub fn into_buffer(self) -> gst::Buffer {
        self.descriptors.into_buffer()
    }
}

/// What became of frames that could have been passed on, for people.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::shmsink) struct Passed {
    /// Frames of upstream's that readers have.
    pub originals: usize,
    /// Bytes of copies that readers have.
    pub copied_bytes: u64,
    /// Frames that were copied because readers had as many others as they may.
    pub copied_scarce: u64,
}

/// Whose frames are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::shmsink) enum Idle {
    All,
    /// Upstream wants its own back at once; copies wait for who makes the next.
    Upstreams,
}

#[derive(Debug)]
struct Entry {
    generation: u32,
    slot: usize,
    content: Arc<Content>,
}

/// What is to be sent for a message of the server's.
pub(in crate::shmsink) enum Outgoing {
    Frame(Arc<Content>),
    Caps(Arc<[u8]>),
    Nothing,
}

#[derive(Debug, Default)]
pub(in crate::shmsink) struct Table {
    entries: BTreeMap<u64, Entry>,
    /// The command for the caps of each generation that has some.
    caps: BTreeMap<u32, Arc<[u8]>>,
    /// What readers are to be told of the stream.
    state: Option<StreamState>,
    copied_scarce: u64,
}

impl Table {
    pub fn set_caps(&mut self, generation: u32, caps: Option<Arc<[u8]>>) {
        self.caps.extend(caps.map(|caps| (generation, caps)));
    }

    /// Frames of that generation will not be sent any more.
    pub fn forget_caps(&mut self, generation: u32) {
        self.caps.remove(&generation);
    }

    /// The frame that is published with that claim; whether it was copied because readers have as many of upstream's as they may.
    pub fn insert(&mut self, claim: &Claim, content: Content, is_scarce: bool) {
        self.copied_scarce += u64::from(is_scarce);
        let entry = Entry {
            generation: claim.generation,
            slot: claim.slot,
            content: Arc::new(content),
        };
        self.entries.insert(claim.offset, entry);
    }

    /// Frames that nobody needs any more, to be dropped or used again without the lock, and of each whether somebody may still look at it.
    pub fn take_idle(&mut self, server: &Server, which: Idle) -> Vec<(Arc<Content>, bool)> {
        let is_idle = |entry: &mut Entry| {
            let asked = which == Idle::All || !entry.content.is_copy;
            asked && server.need(entry.generation, entry.slot) != Need::Needed
        };
        let idle = self.entries.extract_if(.., |_, entry| is_idle(entry));
        let is_lost = |entry: &Entry| server.need(entry.generation, entry.slot) == Need::Lost;
        idle.map(|(_, entry)| {
            let is_lost = is_lost(&entry);
            (entry.content, is_lost)
        })
        .collect()
    }

    /// All frames.
    pub fn take_all(&mut self) -> Vec<Arc<Content>> {
        let all = std::mem::take(&mut self.entries);
        all.into_values().map(|entry| entry.content).collect()
    }

    pub fn passed(&self) -> Passed {
        let contents = || self.entries.values().map(|entry| &entry.content);
        let copies = contents().filter(|content| content.is_copy);
        Passed {
            originals: contents().filter(|content| !content.is_copy).count(),
            copied_bytes: copies.map(|content| content.bytes()).sum(),
            copied_scarce: self.copied_scarce,
        }
    }

    /// Frames of that pool that readers have.
    pub fn of_pool(&self, pool: usize) -> usize {
        let contents = self.entries.values().map(|entry| &entry.content);
        contents
            .filter(|content| !content.is_copy && content.pool == pool)
            .count()
    }

    pub fn message(&self, message: &Message<'_>) -> Outgoing {
        match message {
            Message::NewBuffer { offset, .. } => {
                self.entries.get(offset).map_or(Outgoing::Nothing, |entry| {
                    Outgoing::Frame(entry.content.clone())
                })
            }
            Message::NewArea { generation, .. } => self
                .caps
                .get(generation)
                .map_or(Outgoing::Nothing, |caps| Outgoing::Caps(caps.clone())),
            Message::CloseArea { .. } => Outgoing::Nothing,
        }
    }

    /// The stream has ended, or the sink is being stopped.
    pub fn has_ended(&self) -> bool {
        self.state
            .is_some_and(|state| state != StreamState::Running)
    }

    pub fn set_state(&mut self, state: StreamState) {
        self.state = Some(state);
    }

    /// The command for that.
    pub fn end(&self, out: &mut Vec<u8>) {
        match self.state {
            Some(StreamState::Stopped) => wire::encode_stopped(out),
            _ => wire::encode_end(out),
        }
    }
}
