//! Checks the takeover protocol in every order of events that a small world allows.
//!
//! What an operator does next is asked of the real `mysql_takeover::takeover::decide`; the driver around it, the servers, the
//! Kubernetes API and the network are modelled. See `world` for the world, `protocol` for what can happen in it and what
//! must hold, `mistake` for the mistakes that the checker must find when they are planted.

pub mod bridge;
mod hold;
pub mod mistake;
pub mod operator;
pub mod parties;
pub mod protocol;
mod recovery;
pub mod scenario;
pub mod sets;
mod steps;
pub mod world;
