//! The binary: everything is in the library.

use std::process::ExitCode;

/// Requests are answered from many threads, and each makes a few short-lived buffers.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    portcullis::cli::main()
}
