//! Programs that the lab needs: found, or installed by `lab install`.
//!
//! `find_*` looks and changes nothing; its error says what to install. `ensure_*` installs what is missing first. All of it is
//! blocking and reports progress on standard error.

pub mod cache;
pub mod debian;
pub mod go;
pub mod kubernetes;
pub mod mysql;

pub use kubernetes::{
    ControlPlaneBinaries, NodeBinaries, ensure_control_plane, ensure_coredns, ensure_helm, ensure_node,
    find_control_plane, find_coredns, find_helm, find_node,
};
pub use mysql::{MySql, ensure_mysql, find_mysql};
