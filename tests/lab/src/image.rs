//! Container images written from local files, because no registry is reached.
