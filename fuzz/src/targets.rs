//! What is fuzzed, as plain functions: the fuzz targets call them, and so does `tests/shm_fuzz.rs` with what is checked in.
//!
//! Each takes any bytes, and panics when something is not as it must be.

use std::{collections::BTreeMap, time::Duration};

use gstlibcamerars::shm::{
    caps_text,
    client::{ClientId, Facts},
    fd::{
        metas::Meta,
        wire::{
            CommandParser, HEADER_SIZE as COMMAND, Heard, MAX_PARTS, MAX_PAYLOAD, ReleaseParser,
            encode_caps, encode_release,
        },
    },
    fields,
    header::Header,
    layout::{HEADER_SIZE, Limits, MAX_HELD, NOTE_SIZE},
    names::Names,
    note::Note,
    reader::{Event, MAX_AREAS, Reader},
    server::{Admission, Server, Timeouts, Why},
    wire::{Ack, AckParser, MESSAGE_SIZE, Message},
};

/// Takes the input apart.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        bytes
    }
}

#[derive(Default)]
struct FuzzClient {
    parser: AckParser,
    /// Offsets that it was told of and has not acked.
    held: Vec<(u32, u64)>,
}

/// Clients of `shmsink-rs` that say what they like, while frames and areas come and go: what they send goes through the parser into the state
/// machine, as the control thread does it.
pub fn client_bytes(data: &[u8]) {
    let mut input = Input(data);
    let limits = Limits {
        window: 2 + usize::from(input.byte().unwrap_or(0) % 3),
        max_clients: 1 + usize::from(input.byte().unwrap_or(0) % 4),
        area_size: None,
        upstream: usize::from(input.byte().unwrap_or(0) % 3),
    };
    let mut server = Server::new(limits);
    server.set_timeouts(Timeouts {
        stall: Some(Duration::from_millis(5)),
        evict: Some(Duration::from_millis(50)),
    });
    let mut clients: BTreeMap<ClientId, FuzzClient> = BTreeMap::new();
    let mut now = Duration::ZERO;
    let mut wanted_size = 1000;
    while let Some(op) = input.byte() {
        now += Duration::from_millis(1);
        let chosen = clients
            .keys()
            .nth(usize::from(op >> 4) % clients.len().max(1))
            .copied();
        match (op & 15, chosen) {
            (0, _) => {
                if let Ok(id) = server.handle_connect(Facts::default(), now) {
                    clients.insert(id, FuzzClient::default());
                } else if let Some((layout, slot)) = server.slot_wanted(1) {
                    server.handle_reserved(layout.generation, slot);
                }
            }
            (1..=4, _) => publish(&mut server, wanted_size, now),
            (5, _) => {
                wanted_size = 1 + u64::from(input.byte().unwrap_or(0)) * 300;
                server.close_area();
            }
            // Honest acks, in any order and in two parts.
            (6..=8, Some(id)) => {
                let client = clients.get_mut(&id).unwrap();
                if !client.held.is_empty() {
                    let which = usize::from(input.byte().unwrap_or(0)) % client.held.len();
                    let (generation, offset) = client.held.remove(which);
                    let ack = Ack { offset }.encode(generation);
                    let cut = usize::from(input.byte().unwrap_or(0)) % MESSAGE_SIZE;
                    let heard = hear(&mut server, id, client, &ack[..cut], now)
                        && hear(&mut server, id, client, &ack[cut..], now);
                    if !heard {
                        part(&mut server, &mut clients, id);
                    }
                }
            }
            // Whatever.
            (9..=10, Some(id)) => {
                let count = usize::from(input.byte().unwrap_or(0));
                let client = clients.get_mut(&id).unwrap();
                if !hear(&mut server, id, client, input.bytes(count), now) {
                    part(&mut server, &mut clients, id);
                }
            }
            (11, Some(id)) => part(&mut server, &mut clients, id),
            (12, Some(id)) => {
                server.handle_evict(id, Why::Asked);
            }
            (13, _) => {
                now += Duration::from_millis(u64::from(input.byte().unwrap_or(0)));
                server.handle_timeout(now);
            }
            (14, _) => {
                if let Some(claim) = server.claim_for_upstream(1) {
                    server.handle_upstream_done(claim.generation, claim.slot);
                }
            }
            _ => {
                if let Some((layout, slot)) = server.slot_wanted(0) {
                    server.handle_reserved(layout.generation, slot);
                }
            }
        }
        transmit(&mut server, &mut clients, now);
        while let Some(eviction) = server.poll_evicted() {
            if !eviction.quarantined {
                clients.remove(&eviction.id);
            }
        }
        while let Some(id) = server.poll_forgotten() {
            clients.remove(&id);
        }
        while server.poll_change().is_some()
            || server.poll_retired().is_some()
            || server.poll_freed().is_some()
        {}
        let snapshot = server.snapshot(now);
        assert!(snapshot.slots_free <= snapshot.slots_reserved);
        assert!(snapshot.slots_reserved <= snapshot.slots_total);
        for client in &snapshot.clients {
            assert!(client.outstanding <= MAX_HELD && client.acked <= client.sent);
        }
    }
    // Whatever they did, a slot is free once they are gone.
    for id in clients.keys().copied().collect::<Vec<_>>() {
        server.handle_disconnect(id);
    }
    let snapshot = server.snapshot(now);
    assert_eq!(
        snapshot.slots_free, snapshot.slots_reserved,
        "a slot was lost"
    );
}

/// False when it is to be disconnected.
fn hear(
    server: &mut Server,
    id: ClientId,
    client: &mut FuzzClient,
    mut bytes: &[u8],
    now: Duration,
) -> bool {
    loop {
        match client.parser.next(&mut bytes) {
            Ok(None) => return true,
            Err(_) => return false,
            Ok(Some(ack)) => {
                if server.handle_ack(id, ack.offset, now).is_err() {
                    return false;
                }
                client.held.retain(|(_, offset)| *offset != ack.offset);
            }
        }
    }
}

fn part(server: &mut Server, clients: &mut BTreeMap<ClientId, FuzzClient>, id: ClientId) {
    server.handle_disconnect(id);
    clients.remove(&id);
}

fn publish(server: &mut Server, size: u64, now: Duration) {
    for _ in 0..3 {
        match server.admit(size, None) {
            Admission::Claimed(claim) => {
                server.handle_frame_published(claim, size, now);
                return;
            }
            Admission::NeedsArea | Admission::NeedsFreshArea => {
                let Ok(layout) = server.plan_area(size) else {
                    return;
                };
                let slots = server.slots_at_first(&layout);
                server.handle_area(layout, "/fuzz", slots);
            }
            Admission::NoClient | Admission::NoSlot => return,
        }
    }
}

fn transmit(server: &mut Server, clients: &mut BTreeMap<ClientId, FuzzClient>, now: Duration) {
    for (id, client) in clients {
        while let Some(message) = server.poll_transmit(*id, now) {
            if let Message::NewBuffer {
                generation,
                offset,
                size,
            } = message
            {
                assert!(size > 0);
                client.held.push((generation, offset));
            }
        }
    }
}

/// A server's bytes, cut as it likes, into the reader's state machine: no frame outside an area that was announced and is mapped.
pub fn server_bytes(data: &[u8]) {
    let mut input = Input(data);
    let mut reader = Reader::default();
    let mut areas: BTreeMap<u32, u64> = BTreeMap::new();
    while let Some(control) = input.byte() {
        let count = usize::from(control & 127).clamp(1, reader.wanted());
        let mut bytes = input.bytes(count);
        loop {
            match reader.handle_bytes(&mut bytes) {
                Err(_) => return,
                Ok(None) => break,
                Ok(Some(Event::Area {
                    generation,
                    length,
                    name,
                })) => {
                    assert!(
                        length > 0 && name.starts_with('/') && !name[1..].contains(['/', '\0'])
                    );
                    assert!(areas.insert(generation, length).is_none());
                    assert!(areas.len() <= MAX_AREAS);
                    let header = (control & 128 != 0).then(|| input.bytes(HEADER_SIZE as usize));
                    reader.handle_area(generation, header.and_then(Header::decode));
                }
                Ok(Some(Event::Closed { generation })) => {
                    areas.remove(&generation);
                }
                Ok(Some(Event::Frame(frame))) => {
                    let length = areas[&frame.generation];
                    assert!(
                        u128::from(frame.offset) + u128::from(frame.size) <= u128::from(length)
                    );
                    if let Some(at) = frame.note_at {
                        assert!(u128::from(at) + u128::from(NOTE_SIZE) <= u128::from(length));
                        let note = input.bytes(NOTE_SIZE as usize);
                        if reader.handle_note(&frame, note).is_err() {
                            return;
                        }
                    }
                }
            }
        }
    }
}

/// What lies in shared memory: a header and a note, with all that is taken from it.
pub fn memory(data: &[u8]) {
    let (header, rest) = data.split_at(data.len().min(HEADER_SIZE as usize));
    if let Some(header) = Header::decode(header) {
        assert_eq!(Header::decode(&header.encode()), Some(header));
        assert!(header.length >= header.stride);
    }
    // A frame's place is said by the wire, and its note must agree: so the input has both.
    let mut input = Input(rest);
    let word = |input: &mut Input<'_>| {
        let mut word = [0; 8];
        let bytes = input.bytes(8);
        word[..bytes.len()].copy_from_slice(bytes);
        u64::from_ne_bytes(word)
    };
    let (generation, offset, size) = (word(&mut input) as u32, word(&mut input), word(&mut input));
    let Ok(note) = Note::decode(input.0, generation, offset, size) else {
        return;
    };
    assert_eq!(
        (note.generation, note.offset, note.size),
        (generation, offset, size)
    );
    assert!(note.planes.iter().count() <= 4);
    let mut page = vec![0; NOTE_SIZE as usize];
    note.encode(&mut page);
    assert_eq!(
        Note::decode(&page, generation, offset, size).as_ref(),
        Ok(&note)
    );
    let mut names = Names::default();
    if let Ok(found) = caps_text::names(note.caps) {
        assert!(!found.is_empty() && found.iter().all(|name| fields::is_name(name)));
        let _ = names.admit(found);
    }
    if let Ok(found) = fields::decode(note.fields) {
        let mut again = Vec::new();
        for (name, value) in &found {
            fields::encode(&mut again, name, value);
        }
        // What is no number is not equal to itself.
        let text = format!("{found:?}");
        assert_eq!(format!("{:?}", fields::decode(&again).unwrap()), text);
        let _ = names.admit(found.iter().map(|(name, _)| *name));
    }
}

/// The other wire's bytes, cut as they like: a sink's into the reader's parser, and the same as a reader's into the sink's.
pub fn fd_bytes(data: &[u8]) {
    let mut input = Input(data);
    let (mut commands, mut releases) = (CommandParser::default(), ReleaseParser::default());
    let (mut is_sink, mut is_reader) = (true, true);
    while let Some(control) = input.byte() {
        let bytes = input.bytes(usize::from(control));
        let mut theirs = bytes;
        while is_reader {
            match releases.next(&mut theirs) {
                Ok(Some(id)) => assert_eq!(released(id), Some(id)),
                Ok(None) => break,
                Err(_) => is_reader = false,
            }
        }
        let mut theirs = bytes;
        while is_sink {
            assert!((1..=COMMAND + MAX_PAYLOAD).contains(&commands.wanted()) || theirs.is_empty());
            match commands.next(&mut theirs) {
                Ok(Some(heard)) => look_at(heard),
                Ok(None) => break,
                Err(_) => is_sink = false,
            }
        }
    }
}

fn released(id: u64) -> Option<u64> {
    ReleaseParser::default()
        .next(&mut &encode_release(id)[..])
        .unwrap()
}

/// What was understood is written as it was, and understood again.
fn look_at(heard: Heard) {
    let mut again = Vec::new();
    match &heard {
        Heard::Frame { frame, metas } => {
            assert!(frame.parts.len() <= MAX_PARTS);
            frame.encode(metas.0, &metas.1, &mut again);
            if let Ok(metas) = Meta::decode(metas.0, &metas.1, |_| true) {
                let mut bytes = Vec::new();
                metas.iter().for_each(|meta| meta.encode(&mut bytes));
                let count = metas.len() as u16;
                assert_eq!(Meta::decode(count, &bytes, |_| true), Ok(metas));
            }
        }
        Heard::Caps(text) => encode_caps(text, &mut again),
        Heard::End | Heard::Stopped | Heard::Unknown => return,
    }
    let mut parser = CommandParser::default();
    assert_eq!(parser.next(&mut &again[..]), Ok(Some(heard)));
}
