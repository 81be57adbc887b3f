"""What every cluster gets beside Kubernetes itself: DNS, KubeRay, an Ingress controller, a class of volumes."""

from hack.cluster import coredns, kuberay, traefik, volumes
from hack.cluster.api import Api
from hack.cluster.images import programs
from hack.cluster.poll import wait_until

READY_SECONDS = 120
DNS = (coredns.NAMESPACE, coredns.NAME)
DEPLOYMENTS = ((kuberay.NAMESPACE, kuberay.NAME), (traefik.NAMESPACE, traefik.NAME))


def install(api: Api, address: str, *, dns: bool) -> None:
    """Apply all and return when it serves; `address` is where Ingresses are reached."""
    volumes.folder().mkdir(parents=True, exist_ok=True)
    ingress = traefik.objects(programs.reference("traefik"), address)
    names = coredns.objects(programs.reference("coredns")) if dns else []
    api.apply([*names, *ingress, volumes.storage_class()])
    if not kuberay.served(api):
        kuberay.install_crds(api)
    wait_until(lambda: kuberay.served(api), "RayService served", timeout=READY_SECONDS)
    api.apply([*kuberay.rbac(), kuberay.deployment(programs.reference("kuberay"))])
    for namespace, name in (*([DNS] if dns else []), *DEPLOYMENTS):
        api.kubectl("-n", namespace, "rollout", "status", f"deployment/{name}", f"--timeout={READY_SECONDS}s")


def status(api: Api) -> list[str]:
    """One line for each addon that there is."""
    found = []
    for namespace, name in (DNS, *DEPLOYMENTS):
        answer = api.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}")
        if answer:
            ready = answer["status"].get("readyReplicas", 0)
            found.append(f"{namespace}/{name}: {'ready' if ready else 'not ready'}")
    return found
