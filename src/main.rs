//! The `postrider` program: its whole behaviour is in the library.

#![forbid(unsafe_code)]

/// An event is some fifty small allocations, made on one thread and freed on another: the system's allocator takes a seventh of
/// the daemon's time for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    postrider::cli::main()
}
