//! Buffers of somebody else's pool as frames that the camera fills.
//!
//! A pool says nothing when it has taken a buffer back. So its buffers are acquired once and held, and what goes downstream are buffers of ours with
//! shares of their memories: the drop of the last share tells that the frame is back, as with the camera's own frames.

use super::pool::PlaneLayout;
use super::slots::{self, SlotArea, SlotSource};
use crate::camera::{FrameLayout, Plane};
use crate::sync::Arc;
use gst::prelude::*;
use std::os::fd::{BorrowedFd, OwnedFd};

/// Why buffers cannot be frames of the camera's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("it is ordinary memory, which no camera can write to")]
    Ordinary,
    #[error("it is no DMABUF, and the camera's driver writes to nothing else")]
    NoDmaBuf,
    #[error("the pool does not take the caps, or cannot be started")]
    Refused,
    #[error("the pool has {found} buffers to give at once, and the camera works with {needed}")]
    TooFew { found: usize, needed: usize },
    #[error(
        "the sink's area has {0} slots, and the camera can know {MOST_SLOTS} (client-window x max-clients decides)"
    )]
    TooMany(usize),
    #[error("its buffers are of {found} bytes, and the camera writes {needed}")]
    TooSmall { found: usize, needed: usize },
    #[error("its lines or planes lie otherwise than the camera's")]
    Layout,
    #[error("its memory may not be shared")]
    NotShared,
    #[error("a file descriptor of it cannot be duplicated")]
    Descriptor,
    #[error("{0}")]
    Camera(String),
}

/// What a camera needs of memory for its frames.
#[derive(Clone, Debug)]
pub struct Need<'a> {
    pub caps: &'a gst::Caps,
    /// Bytes of a frame.
    pub size: usize,
    pub frames: usize,
    /// How the planes lie in the camera's own frames; none for formats that have no planes.
    pub layout: Option<&'a PlaneLayout>,
    /// Bytes of each plane.
    pub planes: &'a [u32],
    /// Nothing but DMABUFs will do.
    pub dmabuf: bool,
    /// The camera writes anywhere. Drivers write from the begin of a file on, one plane behind the other.
    pub anywhere: bool,
}

/// Whether it is GStreamer's allocator for ordinary memory.
fn is_heap(allocator: &gst::Allocator) -> bool {
    gst::Allocator::find(Some("SystemMemory")).as_ref() == Some(allocator)
}

/// Somebody else's buffers, for as long as the camera has them. Their pool is stopped afterwards.
#[derive(Debug)]
pub struct Held {
    pub buffers: Vec<gst::Buffer>,
    pool: Option<gst::BufferPool>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.buffers.clear();
        if let Some(pool) = self.pool.take() {
            let _ = pool.set_active(false);
        }
    }
}

/// Where memory for frames can be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Pool {
        pool: gst::BufferPool,
        /// Bytes of a buffer.
        size: u32,
        /// Buffers that it has at most; 0 for no bound.
        max: u32,
    },
    /// Of the application's, or of another element.
    Allocator(gst::Allocator),
    /// Slots of the element that has made this pool, in the area of that generation.
    Slots {
        pool: gst::BufferPool,
        size: usize,
        generation: u32,
    },
}

/// Buffers that are frames now.
#[derive(Debug)]
pub struct Imported {
    pub held: Held,
    pub layouts: Vec<FrameLayout>,
    /// How the planes lie in each buffer.
    pub planes: Option<PlaneLayout>,
}

/// A camera opens the file anew for each plane of each slot, and a process may have a thousand files open.
const MOST_SLOTS: usize = 160;

/// Slots that the camera may fill, by their places in the area.
pub struct Slots {
    pub source: Arc<dyn SlotSource>,
    pub area: SlotArea,
    pub layouts: Vec<FrameLayout>,
}

impl Source {
    /// Slots of that pool's, if it has some.
    pub fn slots(pool: &gst::BufferPool, size: usize) -> Option<Self> {
        let area = slots::of_pool(pool)?.area(size)?;
        Some(Self::Slots {
            pool: pool.clone(),
            size,
            generation: area.generation,
        })
    }

    /// The same, of the area that there is by now.
    pub fn refreshed(self) -> Option<Self> {
        match self {
            Self::Slots { pool, size, .. } => Self::slots(&pool, size),
            other => Some(other),
        }
    }

    /// The slots, for frames that lie as their caps imply and fill each to the end.
    pub fn import_slots(&self, need: &Need<'_>) -> Result<Slots, Unfit> {
        let Self::Slots { pool, size, .. } = self else {
            return Err(Unfit::Refused);
        };
        if !need.anywhere {
            return Err(Unfit::Ordinary);
        }
        let source = slots::of_pool(pool).ok_or(Unfit::Refused)?;
        let area = source.area(*size).ok_or(Unfit::Refused)?;
        let info = gst_video::VideoInfo::from_caps(need.caps).map_err(|_| Unfit::Layout)?;
        let layout = need.layout.ok_or(Unfit::Layout)?;
        let same = info.offset() == layout.offsets && info.stride() == layout.strides;
        if !same || info.size() != *size {
            return Err(Unfit::Layout);
        }
        if area.offsets.len() > MOST_SLOTS {
            return Err(Unfit::TooMany(area.offsets.len()));
        }
        // One with the camera, one on its way.
        const FEWEST: usize = 2;
        if area.most < FEWEST {
            return Err(Unfit::TooFew {
                found: area.most,
                needed: FEWEST,
            });
        }
        // One that is to be had now: each that comes back brings the next.
        if source.claim(*size, Arc::new(|| ())).is_none() {
            return Err(Unfit::TooFew {
                found: 0,
                needed: 1,
            });
        }
        let frame = |start: &u64| {
            let plane = |(offset, length): (&usize, &u32)| {
                Ok(Plane {
                    fd: area.file.clone(),
                    offset: u32::try_from(start + *offset as u64).map_err(|_| Unfit::Layout)?,
                    length: *length,
                })
            };
            let planes: Result<Vec<Plane>, Unfit> =
                layout.offsets.iter().zip(need.planes).map(plane).collect();
            Ok(FrameLayout { planes: planes? })
        };
        let layouts: Result<Vec<FrameLayout>, Unfit> = area.offsets.iter().map(frame).collect();
        Ok(Slots {
            layouts: layouts?,
            source,
            area,
        })
    }

    /// Takes as many buffers as the camera works with.
    pub fn import(&self, need: &Need<'_>) -> Result<Imported, Unfit> {
        match self {
            Self::Pool { pool, size, max } => {
                check(*size, *max, need)?;
                if is_ordinary(pool) {
                    return Err(Unfit::Ordinary);
                }
                // Somebody works with it, who would miss its buffers, and the pool at our end.
                if pool.is_active() {
                    return Err(Unfit::Refused);
                }
                configure(pool, *size, *max, need)?;
                let held = Held {
                    buffers: acquire(pool, need),
                    pool: Some(pool.clone()),
                };
                describe(held, need)
            }
            // They are claimed one by one.
            Self::Slots { .. } => Err(Unfit::Refused),
            Self::Allocator(allocator) => {
                let held = Held {
                    buffers: allocate(allocator, need)?,
                    pool: None,
                };
                describe(held, need)
            }
        }
    }
}

fn check(size: u32, max: u32, need: &Need<'_>) -> Result<(), Unfit> {
    let (size, max) = (size as usize, max as usize);
    if max > 0 && max < need.frames {
        return Err(Unfit::TooFew {
            found: max,
            needed: need.frames,
        });
    }
    if size < need.size {
        return Err(Unfit::TooSmall {
            found: size,
            needed: need.size,
        });
    }
    Ok(())
}

fn allocate(allocator: &gst::Allocator, need: &Need<'_>) -> Result<Vec<gst::Buffer>, Unfit> {
    if is_heap(allocator) {
        return Err(Unfit::Ordinary);
    }
    // It does not make memory by size alone.
    let flags = allocator.object_flags().bits();
    if flags & gst::ffi::GST_ALLOCATOR_FLAG_CUSTOM_ALLOC != 0 {
        return Err(Unfit::Refused);
    }
    let buffer = |_| {
        let memory = allocator
            .alloc(need.size, None)
            .map_err(|_| Unfit::Refused)?;
        let mut buffer = gst::Buffer::new();
        if let Some(buffer) = buffer.get_mut() {
            buffer.append_memory(memory);
        }
        Ok(buffer)
    };
    (0..need.frames).map(buffer).collect()
}

/// GStreamer's own pools say before they make a buffer that it would be memory of the heap.
fn is_ordinary(pool: &gst::BufferPool) -> bool {
    let plain = [
        gst::BufferPool::static_type(),
        gst_video::VideoBufferPool::static_type(),
    ];
    if !plain.contains(&pool.type_()) {
        return false;
    }
    let allocator = pool
        .config()
        .allocator()
        .and_then(|(allocator, _)| allocator);
    allocator.is_none_or(|allocator| is_heap(&allocator))
}

fn configure(pool: &gst::BufferPool, size: u32, max: u32, need: &Need<'_>) -> Result<(), Unfit> {
    let mut config = pool.config();
    config.set_params(Some(need.caps), size, need.frames as u32, max);
    if need.layout.is_some() && pool.has_option(gst_video::BUFFER_POOL_OPTION_VIDEO_META.as_str()) {
        config.add_option(gst_video::BUFFER_POOL_OPTION_VIDEO_META.as_str());
    }
    let configured = pool.set_config(config).is_ok();
    if configured && pool.set_active(true).is_ok() {
        Ok(())
    } else {
        Err(Unfit::Refused)
    }
}

fn acquire(pool: &gst::BufferPool, need: &Need<'_>) -> Vec<gst::Buffer> {
    let at_once = gst::BufferPoolAcquireParams::with_flags(gst::BufferPoolAcquireFlags::DONTWAIT);
    std::iter::from_fn(|| pool.acquire_buffer(Some(&at_once)).ok())
        .take(need.frames)
        .collect()
}

fn describe(held: Held, need: &Need<'_>) -> Result<Imported, Unfit> {
    let (found, needed) = (held.buffers.len(), need.frames);
    if found < needed {
        return Err(Unfit::TooFew { found, needed });
    }
    let offsets = offsets(&held.buffers, need)?;
    let buffers = held.buffers.iter();
    let layouts: Result<Vec<FrameLayout>, Unfit> = buffers
        .map(|buffer| frame_layout(buffer, &offsets, need))
        .collect();
    let planes = need.layout.map(|layout| PlaneLayout {
        offsets,
        ..layout.clone()
    });
    Ok(Imported {
        layouts: layouts?,
        planes,
        held,
    })
}

/// Where the planes begin in each of the buffers.
fn offsets(buffers: &[gst::Buffer], need: &Need<'_>) -> Result<Vec<usize>, Unfit> {
    let Some(layout) = need.layout else {
        return Ok(vec![0]);
    };
    let implied = || {
        let info = gst_video::VideoInfo::from_caps(need.caps).map_err(|_| Unfit::Layout)?;
        Ok((info.offset().to_vec(), info.stride().to_vec()))
    };
    let mut all = buffers
        .iter()
        .map(|buffer| match buffer.meta::<gst_video::VideoMeta>() {
            Some(meta) => Ok((meta.offset().to_vec(), meta.stride().to_vec())),
            None => implied(),
        });
    let (offsets, strides) = all.next().ok_or(Unfit::Layout)??;
    let same = all.all(|other| other == Ok((offsets.clone(), strides.clone())));
    let fits = need.anywhere || offsets == layout.offsets;
    if same && fits && strides == layout.strides && offsets.len() == need.planes.len() {
        Ok(offsets)
    } else {
        Err(Unfit::Layout)
    }
}

/// A frame of the planes that begin at these offsets of a buffer. Planes of one memory share their file descriptor.
fn frame_layout(
    buffer: &gst::BufferRef,
    offsets: &[usize],
    need: &Need<'_>,
) -> Result<FrameLayout, Unfit> {
    let mut files: Vec<Option<Arc<OwnedFd>>> = vec![None; buffer.n_memory()];
    let mut planes = Vec::new();
    for (offset, length) in offsets.iter().zip(need.planes) {
        let end = offset + *length as usize;
        let (memories, skip) = buffer.find_memory(*offset..end).ok_or(Unfit::TooSmall {
            found: buffer.size(),
            needed: end,
        })?;
        if memories.len() != 1 {
            return Err(Unfit::Layout);
        }
        let memory = buffer.peek_memory(memories.start);
        if memory.offset() > 0 && !need.anywhere {
            return Err(Unfit::Layout);
        }
        // A driver takes nothing else; that it does not shows only when the camera runs.
        let is_dmabuf = memory.is_memory_type::<gst_allocators::DmaBufMemory>();
        if (need.dmabuf || !need.anywhere) && !is_dmabuf {
            return Err(Unfit::NoDmaBuf);
        }
        let file = files.get_mut(memories.start).ok_or(Unfit::Layout)?;
        let fd = match file {
            Some(fd) => fd.clone(),
            None => file.insert(descriptor(memory)?).clone(),
        };
        planes.push(Plane {
            fd,
            offset: u32::try_from(memory.offset() + skip).map_err(|_| Unfit::Layout)?,
            length: *length,
        });
    }
    Ok(FrameLayout { planes })
}

fn descriptor(memory: &gst::MemoryRef) -> Result<Arc<OwnedFd>, Unfit> {
    if memory.flags().contains(gst::MemoryFlags::NO_SHARE) {
        return Err(Unfit::NotShared);
    }
    let fd = memory
        .downcast_memory_ref::<gst_allocators::FdMemory>()
        .ok_or(Unfit::Ordinary)?
        .fd();
    // SAFETY: the memory has the file descriptor, and lives for the call.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    let own = fd.try_clone_to_owned().map_err(|_| Unfit::Descriptor)?;
    Ok(Arc::new(own))
}
