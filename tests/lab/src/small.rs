//! The small tier: a control plane and mysqld processes on loopback, with hand-made Pods in front of them.
//!
//! Endpoints refuse loopback addresses, so Services stay without endpoints here; routing is tested on the full tier.

use std::sync::Arc;

use anyhow::Result;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::sync::OnceCell;

use crate::control_plane::{APISERVER_PORT, ControlPlane, Options};
use crate::loopback::Block;
use crate::run::Run;
use crate::tools;

mod pods;
mod register;

pub use pods::{PodSpec, create_pod, delete_pod, pod_for, set_pod_ready, write_secret};
pub use register::{apply_cluster, register};

/// A control plane on loopback with its run.
#[derive(Debug)]
pub struct SmallTier {
    /// The control plane.
    pub control_plane: ControlPlane,
    /// Everything that belongs to it; topologies of tests can be part of it.
    pub run: Arc<Run>,
}

impl SmallTier {
    /// Starts a control plane of its own, in about 3 s.
    pub async fn start(run: Run) -> Result<Self> {
        let run = Arc::new(run);
        let binaries = tools::find_control_plane()?;
        let address = Block::pick(APISERVER_PORT)?.address(1);
        let options = Options { address, network_namespace: None, nodes: false };
        let control_plane = ControlPlane::start(&run, &binaries, options).await?;
        Ok(Self { control_plane, run })
    }

    /// The one control plane that all tests of this process share: started by the first that asks, ended with the process.
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<SmallTier> = OnceCell::const_new();
        SHARED.get_or_try_init(async || Self::start(Run::temporary("test")?).await).await
    }

    /// Makes a namespace `<prefix>-<something unique>`, ready for Pods.
    pub async fn namespace(&self, prefix: &str) -> Result<TestNamespace> {
        let client = self.control_plane.client().await?;
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let namespace = Namespace {
            metadata: ObjectMeta { generate_name: Some(format!("{prefix}-")), ..ObjectMeta::default() },
            ..Namespace::default()
        };
        let created = namespaces.create(&PostParams::default(), &namespace).await?;
        let name = created.metadata.name.unwrap_or_default();
        self.control_plane.wait_for_service_account(&name).await?;
        Ok(TestNamespace { name, client })
    }
}

/// A namespace of one test.
#[derive(Clone)]
pub struct TestNamespace {
    /// Its name.
    pub name: String,
    /// A client of an administrator, for the async runtime of this test.
    pub client: Client,
}

impl TestNamespace {
    /// Asks for its deletion and does not wait.
    pub async fn delete(&self) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces.delete(&self.name, &DeleteParams::background()).await?;
        Ok(())
    }
}
