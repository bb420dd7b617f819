//! The `postrider` program: its whole behaviour is in the library.

fn main() -> std::process::ExitCode {
    postrider::cli::main()
}
