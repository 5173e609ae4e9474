//! The operator as it is, with the feature `failpoints` compiled in.

use std::process::ExitCode;

fn main() -> ExitCode {
    // See src/main.rs.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("error: another TLS provider was installed first");
        return ExitCode::FAILURE;
    }
    mysql_takeover::cli::main(std::env::args_os())
}
