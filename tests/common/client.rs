//! Clients in this process, without a `shmsrc`.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    thread,
};

use gst::prelude::*;

use super::rig::Rig;

/// A client that acks every frame at once, until the connection is closed. Says how many it had.
pub fn healthy(rig: &Rig) -> thread::JoinHandle<u64> {
    serve(rig.raw_client())
}

/// The same for a connection that is there already.
pub fn serve(mut client: UnixStream) -> thread::JoinHandle<u64> {
    client.set_read_timeout(None).unwrap();
    thread::spawn(move || {
        let (mut message, mut frames) = ([0; 24], 0);
        while client.read_exact(&mut message).is_ok() {
            let word = |at: usize| u32::from_ne_bytes(message[at..at + 4].try_into().unwrap());
            match word(0) {
                1 => client.read_exact(&mut vec![0; word(16) as usize]).unwrap(),
                3 => {
                    frames += 1;
                    message[0] = 4;
                    message[16..].fill(0);
                    if client.write_all(&message).is_err() {
                        break;
                    }
                }
                _ => (),
            }
        }
        frames
    })
}

/// A number of what `stats` says about the client that came first.
pub fn first_client(rig: &Rig, name: &str) -> u64 {
    let stats = rig.element.property::<gst::Structure>("stats");
    let clients = stats.get::<gst::Array>("clients").unwrap();
    let first = clients.first().unwrap().get::<gst::Structure>().unwrap();
    first.get(name).unwrap()
}
