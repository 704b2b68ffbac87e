//! The allocator of every program that has Sealift in it.
//!
//! Uploads and downloads take and give back buffers of 64 KiB to 8 MiB all the time. The system's
//! allocator hands these to the kernel and takes them again, page by page
//! ([decision 0021](../../docs/decisions/0021-jemalloc.md)). How this one behaves is said where it is built:
//! `.cargo/config.toml`.

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;
