//! The `postrider` program: its whole behaviour is in the library.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    postrider::cli::main()
}
