"""Command lines of the control plane: values in, words out."""

from hack.cluster.settings import SERVICE_CIDR, Layout, Settings


def etcd(layout: Layout, client_port: int, settings: Settings) -> list[str]:
    """One member over TLS; it has no peers, so its peer listener takes any port."""
    url = f"https://127.0.0.1:{client_port}"
    pki = layout.pki
    words = [
        f"--data-dir={layout.etcd_data}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        "--listen-peer-urls=http://127.0.0.1:0",
        f"--cert-file={pki}/etcd.crt",
        f"--key-file={pki}/etcd.key",
        f"--trusted-ca-file={pki}/ca.crt",
        "--client-cert-auth",
        "--quota-backend-bytes=4294967296",
        "--auto-compaction-retention=5m",
        "--log-level=warn",
    ]
    return words if settings.durable else [*words, "--unsafe-no-fsync"]


def apiserver(layout: Layout, port: int, etcd_port: int, settings: Settings) -> list[str]:
    """RBAC, the Node authorizer, and the default admission plugins (Pod Security among them)."""
    pki = layout.pki
    words = [
        f"--bind-address={settings.bind}",
        f"--advertise-address={settings.advertise}",
        f"--secure-port={port}",
        f"--etcd-servers=https://127.0.0.1:{etcd_port}",
        f"--etcd-cafile={pki}/ca.crt",
        f"--etcd-certfile={pki}/etcd-client.crt",
        f"--etcd-keyfile={pki}/etcd-client.key",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--client-ca-file={pki}/ca.crt",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        f"--kubelet-client-certificate={pki}/kubelet-client.crt",
        f"--kubelet-client-key={pki}/kubelet-client.key",
        f"--service-account-key-file={pki}/service-accounts.key",
        f"--service-account-signing-key-file={pki}/service-accounts.key",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--anonymous-auth=false",
        "--profiling=false",
        "--v=1",
    ]
    if settings.advertise.startswith("127."):  # not an address that the `kubernetes` Service may have
        words.append("--endpoint-reconciler-type=none")
    return [*words, *_audit(layout)] if settings.audit else words


def controller_manager(layout: Layout) -> list[str]:
    """All default controllers, each with its own service account."""
    pki = layout.pki
    return [
        f"--kubeconfig={layout.user('controller-manager')}",
        "--leader-elect=false",
        "--secure-port=0",
        f"--service-account-private-key-file={pki}/service-accounts.key",
        f"--root-ca-file={pki}/ca.crt",
        "--use-service-account-credentials=true",
        "--kube-api-qps=300",
        "--kube-api-burst=600",
        "--profiling=false",
    ]


def scheduler(layout: Layout) -> list[str]:
    return [f"--kubeconfig={layout.user('scheduler')}", "--leader-elect=false", "--secure-port=0", "--profiling=false"]


def kwok(layout: Layout) -> list[str]:
    """Plays the kubelet of annotated nodes only."""
    return [
        f"--kubeconfig={layout.user('kwok')}",
        "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
        "--node-lease-duration-seconds=40",
        "--config=/dev/null",
    ]


def audit_policy() -> dict[str, object]:
    """Every write with what was written; reads by their metadata; no noise of leases."""
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "None", "resources": [{"group": "coordination.k8s.io"}]},
            {"level": "Metadata", "resources": [{"group": "", "resources": ["secrets", "configmaps"]}]},
            {"level": "Request", "verbs": ["create", "update", "patch", "delete", "deletecollection"]},
            {"level": "Metadata"},
        ],
    }


def _audit(layout: Layout) -> list[str]:
    return [f"--audit-policy-file={layout.audit_policy}", f"--audit-log-path={layout.audit_log}"]
