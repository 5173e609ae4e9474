//! The operator and its command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Two libraries speak TLS here; the choice of a provider is made once, or rustls panics at the first connection.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("error: another TLS provider was installed first");
        return ExitCode::FAILURE;
    }
    mysql_takeover::cli::main(std::env::args_os())
}
