//! A peer that offers memory for frames: a pool or an allocator of files, each known by its number.

#![allow(dead_code)]

use std::{
    collections::HashSet,
    fs,
    os::unix::fs::MetadataExt,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use super::common::source::Source;
use gst::{prelude::*, subclass::prelude::*};
use gst_allocators::prelude::*;
use gst_video::VideoBufferPoolConfig;
use gstlibcamerars::os::{dmabuf, memfd};

/// Memory of files without a name, each known by its number.
mod allocator {
    use super::*;
    use std::os::fd::{AsRawFd, IntoRawFd};

    #[derive(Default)]
    pub struct FileAllocator {
        pub made: Mutex<HashSet<u64>>,
        pub dmabufs: AtomicBool,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for FileAllocator {
        const NAME: &'static str = "TestFileAllocator";
        type Type = super::FileAllocator;
        type ParentType = gst::Allocator;
    }

    impl ObjectImpl for FileAllocator {}
    impl GstObjectImpl for FileAllocator {}

    // SAFETY: the memory is as large as it is asked for.
    unsafe impl AllocatorImpl for FileAllocator {
        unsafe fn alloc(
            &self,
            size: usize,
            _params: &gst::AllocationParams,
        ) -> *mut gst::ffi::GstMemory {
            let dmabufs = self.dmabufs.load(Ordering::Relaxed);
            let make = if dmabufs {
                dmabuf::create
            } else {
                memfd::create_sealable
            };
            let fd = make(NAME, size as u64).unwrap();
            self.made.lock().unwrap().insert(inode(fd.as_raw_fd()));
            // SAFETY: the memory owns the file descriptor from now on.
            let memory = unsafe {
                match dmabufs {
                    true => gst_allocators::DmaBufAllocator::new().alloc_dmabuf(fd, size),
                    false => {
                        let flags = gst_allocators::FdMemoryFlags::NONE;
                        gst_allocators::FdAllocator::new().alloc_fd(fd.into_raw_fd(), size, flags)
                    }
                }
            };
            glib::translate::IntoGlibPtr::into_glib_ptr(memory.unwrap())
        }
    }
}

glib::wrapper! {
    pub struct FileAllocator(ObjectSubclass<allocator::FileAllocator>) @extends gst::Allocator, gst::Object;
}

impl FileAllocator {
    /// The numbers of the files that it has made.
    pub fn made(&self) -> HashSet<u64> {
        self.imp().made.lock().unwrap().clone()
    }
}

const NAME: &str = "import-test";

pub fn inode(fd: i32) -> u64 {
    fs::metadata(format!("/proc/self/fd/{fd}")).unwrap().ino()
}

/// How many of such files this process has.
pub fn files() -> usize {
    let fds = fs::read_dir("/proc/self/fd").unwrap();
    let links = fds.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok());
    links
        .filter(|link| link.to_string_lossy().contains(NAME))
        .count()
}

#[derive(Clone, Copy)]
pub struct Offer {
    /// Buffers that the pool has at most.
    pub max: u32,
    /// Bytes by which lines are longer than their pixels.
    pub padding: u32,
    /// It is a pool, not an allocator alone.
    pub pool: bool,
    pub ordinary: bool,
    /// Its memory is DMABUFs.
    pub dmabufs: bool,
}

pub const GOOD: Offer = Offer {
    max: 0,
    padding: 0,
    pool: true,
    ordinary: false,
    dmabufs: false,
};

/// A source whose peer answers each ALLOCATION query with such an offer.
pub fn offered(camera: &str, properties: &str, offer: Offer) -> (Source, FileAllocator) {
    let source = Source::new(&format!(
        "libcamerasrc-rs name=source camera-name={camera} {properties}"
    ));
    let allocator: FileAllocator = glib::Object::new();
    allocator
        .imp()
        .dmabufs
        .store(offer.dmabufs, Ordering::Relaxed);
    let answers = allocator.clone();
    let pad = source.sink.static_pad("sink").unwrap();
    pad.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, move |_, info| {
        let Some(gst::QueryViewMut::Allocation(query)) =
            info.query_mut().map(|query| query.view_mut())
        else {
            return gst::PadProbeReturn::Ok;
        };
        // Where nothing could be negotiated there are none.
        let Some(caps) = query.get().0.map(|caps| caps.to_owned()) else {
            return gst::PadProbeReturn::Ok;
        };
        let info = gst_video::VideoInfo::from_caps(&caps).unwrap();
        query.add_allocation_meta::<gst_video::VideoMeta>(None);
        if !offer.pool {
            query.add_allocation_param(Some(&answers), gst::AllocationParams::default());
            return gst::PadProbeReturn::Handled;
        }
        let pool = gst_video::VideoBufferPool::new();
        let mut config = pool.config();
        let lines = info.size() as u32 / info.width();
        let size = info.size() as u32 + offer.padding * lines;
        config.set_params(Some(&caps), size, 0, offer.max);
        if !offer.ordinary {
            config.set_allocator(Some(&answers), None);
        }
        if offer.padding > 0 {
            config.add_option(gst_video::BUFFER_POOL_OPTION_VIDEO_META.as_str());
            config.add_option(gst_video::BUFFER_POOL_OPTION_VIDEO_ALIGNMENT.as_str());
            let align = gst_video::VideoAlignment::new(0, 0, 0, offer.padding, &[0; 4]);
            config.set_video_alignment(&align);
        }
        pool.set_config(config).unwrap();
        query.add_allocation_pool(Some(&pool), size, 0, offer.max);
        gst::PadProbeReturn::Handled
    });
    (source, allocator)
}
