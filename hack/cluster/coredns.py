"""CoreDNS as a Deployment behind the address that every pod asks."""

from hack.cluster import workload
from hack.cluster.settings import DNS_ADDRESS, DOMAIN

NAME = "coredns"
NAMESPACE = "kube-system"
PORT = 1053
COREFILE = f"""
.:{PORT} {{
    errors
    health :8080
    ready :8181
    kubernetes {DOMAIN} in-addr.arpa ip6.arpa {{
        pods insecure
        ttl 5
    }}
    forward . /etc/resolv.conf
    cache 5
}}
"""


def objects(image: str) -> list[workload.Object]:
    """Everything of CoreDNS; it listens above 1024, so that it needs no capability."""
    reads = ["list", "watch"]
    rules = [
        {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": reads},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": reads},
    ]
    subject = workload.account_subject(NAME, NAMESPACE)
    container = {
        "image": image,
        "args": ["-conf", "/etc/coredns/Corefile"],
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}],
        "readinessProbe": workload.probe("/ready", 8181),
        "livenessProbe": workload.probe("/health", 8080),
    }
    volumes = [{"name": "config", "configMap": {"name": NAME}}]
    return [
        workload.account(NAME, NAMESPACE),
        workload.cluster_role("system:coredns", rules),
        workload.cluster_binding("system:coredns", "system:coredns", subject),
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": NAME, "namespace": NAMESPACE},
            "data": {"Corefile": COREFILE},
        },
        workload.deployment(NAME, NAMESPACE, container, volumes=volumes, dnsPolicy="Default"),
        _service(),
    ]


def _service() -> workload.Object:
    ports = [
        {"name": f"dns-{protocol.lower()}", "port": 53, "targetPort": PORT, "protocol": protocol}
        for protocol in ("UDP", "TCP")
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": NAMESPACE},
        "spec": {"clusterIP": DNS_ADDRESS, "selector": {"app.kubernetes.io/name": NAME}, "ports": ports},
    }
