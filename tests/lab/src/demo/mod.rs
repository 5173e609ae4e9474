//! `lab demo`: a takeover on real Pods behind a real Service, under writing clients.
