//! What a shared-memory server and its readers know, and nothing that they do: no clock, no socket, no memory.
//!
//! - [`wire`]: the messages that the stock `shmsrc` understands, and its acks.
//! - [`layout`]: how large slots and areas are, and when a bound cannot be kept.
//! - [`slots`]: one area's slots and who needs them.
//! - [`client`]: what one client has been given and what it has been told.
//! - [`server`]: the state machine over all of them; see there for the contract.
//! - [`snapshot`]: its numbers, for people.
//! - [`fd`]: the other wire, on which frames are file descriptors.
//! - [`header`], [`note`], [`fields`]: what `shmsink-rs` writes beside its frames, where stock readers never look.
//! - [`reader`]: the state machine of `shmsrc-rs`; [`unsent`]: its acks. [`caps_text`], [`names`]: what it lets through of what strangers say.
//!
//! Words: an *area* is one shared memory object, known to clients by its *generation*; it is cut into *slots*, each for one frame. A client
//! *holds* a frame from the moment it is promised to it until its *ack*. Its *window* is how many it may hold.

pub mod caps_text;
pub mod client;
pub mod fd;
pub mod fields;
pub mod header;
pub mod layout;
pub mod names;
pub mod note;
pub mod reader;
pub mod server;
pub mod slots;
pub mod snapshot;
pub mod unsent;
pub mod wire;
