//! `lab bench`: what a takeover costs, beside the floor and beside a polling procedure.

pub mod by_hand;
pub mod sql;
pub mod steps;
