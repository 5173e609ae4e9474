//! PURE. The takeover: its steps, its preflight, and what to do next, as functions of values.
//!
//! Time and observations come in as values; a decision goes out as a value. No client, no runtime, no clock, no randomness.

pub mod limits;
pub mod preflight;
pub mod step;

pub use limits::Limits;
pub use step::Step;
