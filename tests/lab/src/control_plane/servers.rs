//! The command lines of the control plane's servers.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;

use super::{APISERVER_PORT, Options, SERVICE_RANGE};
use crate::process::{Process, Program};
use crate::run::Run;
use crate::tools::ControlPlaneBinaries;

const ETCD_PORT: u16 = 2379;
const ETCD_PEER_PORT: u16 = 2380;

pub(super) fn start_etcd(
    run: &Run,
    binaries: &ControlPlaneBinaries,
    options: &Options,
    folder: &Path,
) -> Result<Process> {
    let clients = format!("http://{}", SocketAddr::new(options.address, ETCD_PORT));
    let peers = format!("http://{}", SocketAddr::new(options.address, ETCD_PEER_PORT));
    Program::new("etcd", &binaries.etcd)
        .network_namespace(options.network_namespace.clone())
        .argument(format!("--data-dir={}", folder.join("etcd").display()))
        // A cluster of one elects at once: 0.1 s instead of 1.1 s.
        .arguments(["--heartbeat-interval=10", "--election-timeout=100"])
        .argument(format!("--listen-client-urls={clients}"))
        .argument(format!("--advertise-client-urls={clients}"))
        .argument(format!("--listen-peer-urls={peers}"))
        .argument(format!("--initial-advertise-peer-urls={peers}"))
        .argument(format!("--initial-cluster=default={peers}"))
        .start(run)
}

pub(super) fn start_apiserver(
    run: &Run,
    binaries: &ControlPlaneBinaries,
    options: &Options,
    folder: &Path,
) -> Result<Process> {
    let file = |option: &str, name: &str| format!("--{option}={}", folder.join(name).display());
    let address = options.address;
    let mut program = Program::new("kube-apiserver", &binaries.kube_apiserver)
        .network_namespace(options.network_namespace.clone())
        .argument(format!("--etcd-servers=http://{}", SocketAddr::new(address, ETCD_PORT)))
        .argument(format!("--bind-address={address}"))
        .argument(format!("--advertise-address={address}"))
        .argument(format!("--secure-port={APISERVER_PORT}"))
        .argument(file("tls-cert-file", "apiserver.crt"))
        .argument(file("tls-private-key-file", "apiserver.key"))
        .argument(file("client-ca-file", "ca.crt"))
        .argument(file("service-account-key-file", "service-account.pub"))
        .argument(file("service-account-signing-key-file", "service-account.key"))
        .argument(file("kubelet-client-certificate", "kubelet-client.crt"))
        .argument(file("kubelet-client-key", "kubelet-client.key"))
        // Node names are in no DNS here: without it exec, logs and port-forward look them up and fail.
        .argument("--kubelet-preferred-address-types=InternalIP")
        .argument("--service-account-issuer=https://kubernetes.default.svc.cluster.local")
        .argument(format!("--service-cluster-ip-range={SERVICE_RANGE}"))
        .argument("--authorization-mode=Node,RBAC")
        .argument("--allow-privileged=true");
    if address.is_loopback() {
        // Endpoints refuse loopback addresses, so the reconciler of Service default/kubernetes would log an error for ever.
        program = program.argument("--endpoint-reconciler-type=none");
    }
    program.start(run)
}

pub(super) fn start_controller_manager(
    run: &Run,
    binaries: &ControlPlaneBinaries,
    options: &Options,
    folder: &Path,
    kubeconfig: &Path,
) -> Result<Process> {
    let file = |option: &str, name: &str| format!("--{option}={}", folder.join(name).display());
    let mut program = Program::new("kube-controller-manager", &binaries.kube_controller_manager)
        .network_namespace(options.network_namespace.clone())
        .argument(format!("--kubeconfig={}", kubeconfig.display()))
        // With leader election it exits when the API is away for 10 s, which some tests want it to survive.
        .arguments(["--leader-elect=false", "--use-service-account-credentials=false"])
        .argument(format!("--bind-address={}", options.address))
        .argument(file("service-account-private-key-file", "service-account.key"))
        .argument(file("root-ca-file", "ca.crt"))
        .argument(file("cluster-signing-cert-file", "ca.crt"))
        .argument(file("cluster-signing-key-file", "ca.key"));
    program = if options.nodes {
        program.arguments(["--node-monitor-grace-period=8s", "--node-monitor-period=1s"])
    } else {
        program.argument("--controllers=*,-node-lifecycle-controller,-pod-garbage-collector-controller")
    };
    program.start(run)
}
