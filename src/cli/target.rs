//! Which cluster a command talks to.

use crate::kubernetes::connect::Target;
use std::path::PathBuf;

#[derive(Clone, Debug, clap::Args)]
#[group(id = "target")]
pub(super) struct Arguments {
    /// Path of the kubeconfig [default: $KUBECONFIG, ~/.kube/config, or a Pod's service account]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

impl Arguments {
    pub(super) fn target(self) -> Target {
        Target { kubeconfig: self.kubeconfig, context: self.context }
    }
}
