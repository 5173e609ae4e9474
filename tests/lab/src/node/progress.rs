//! Lines that say how far a start is, with the time since it began.

use std::time::Instant;

/// Prints steps to standard error.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    begin: Instant,
}

impl Progress {
    /// Time counts from here.
    pub fn start() -> Self {
        Self { begin: Instant::now() }
    }

    /// One step is done.
    pub fn done(&self, step: &str) {
        eprintln!("[{:5.1} s] {step}", self.begin.elapsed().as_secs_f64());
    }
}
