"""What users do to an operator: each starts from a state that is ready and makes one change."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from hack.cluster.poll import wait_until
from tests.chaos.operator.ray import NEVER_UP
from tests.chaos.operator.rig import SOON
from tests.chaos.operator.state import hosts
from tests.integration.client import Client, an_object, condition
from tests.integration.services import SOURCE, Service

Json = dict[str, Any]

OTHER: Final = {"source": "hf://org/other", "revision": "abc"}
STUCK: Final = {"source": f"hf://{NEVER_UP}", "revision": "abc"}
POOLS: Final = ("fast", "slow")
_TIER: Final = "example.com/tier"
SPEC: Final[Json] = {"placement": {"pools": list(POOLS)}, "rollout": {"drain": "0s"}}
"""Of the services here, but for their model: two pools to fall back along, and no wait for old revisions."""


@dataclass(frozen=True)
class Workload:
    """`prepare` brings the namespace to where `change` begins; `restore` what both did outside it."""

    prepare: Callable[[Client, str], None]
    change: Callable[[Client, str], None]
    restore: Callable[[Client], None] = lambda _: None


def pools(client: Client) -> None:
    """Two pools with a node each; the services of the workloads name them in this order."""
    for name in POOLS:
        client.create("nodes", {"metadata": {"name": name, "labels": {_TIER: name}}})
        client.create(
            "gpupools",
            an_object("GPUPool", name, image="docker.io/llmservice/worker:cpu", nodeSelector={_TIER: name}),
        )


def new_namespace(client: Client) -> str:
    """A namespace that nobody has used."""
    name = f"chaos-{secrets.token_hex(4)}"
    client.create("namespaces", {"metadata": {"name": name}})
    return name


def removed(client: Client, workload: Workload, namespace: str) -> None:
    """What the workload made goes, and what it did outside the namespace is undone; the namespace stays, empty."""
    for plural in ("llmservices", "apikeys"):
        for each in client.names(plural, namespace):
            client.delete(plural, namespace, each)
    workload.restore(client)


def _create(client: Client, namespace: str) -> None:
    Service(client, namespace, **SPEC, endpoint=endpoint(hosts(namespace)[0]))


def endpoint(host: str) -> Json:
    """An own host; no IngressClass need exist for it."""
    return {"host": host, "ingressClassName": "any"}


def _ready(client: Client, namespace: str) -> None:
    _create(client, namespace)
    _is_ready(client, namespace)


def _is_ready(client: Client, namespace: str) -> None:
    ref = ("llmservices", namespace, "m")
    wait_until(lambda: condition(client.find(*ref), "Ready")[0] == "True", "the service is ready", timeout=SOON)


def _edited(**spec: Any) -> Callable[[Client, str], None]:
    def change(client: Client, namespace: str) -> None:
        client.merge("llmservices", namespace, "m", {"spec": spec})

    return change


def _in_mid_rollout(client: Client, namespace: str) -> None:
    _ready(client, namespace)
    client.merge("llmservices", namespace, "m", {"spec": {"model": STUCK}})

    def pending() -> bool:
        status = (client.find("llmservices", namespace, "m") or {}).get("status", {})
        return bool(status.get("revision", {}).get("pending"))

    wait_until(pending, "the rollout is under way", timeout=SOON)


def _moved(client: Client, namespace: str) -> None:
    client.merge("llmservices", namespace, "m", {"spec": {"endpoint": endpoint(hosts(namespace)[1])}})


def _deleted(client: Client, namespace: str) -> None:
    client.delete("llmservices", namespace, "m")


def _tiered(tier: str | None) -> Callable[[Client], None]:
    def label(client: Client) -> None:
        client.merge("nodes", "", POOLS[0], {"metadata": {"labels": {_TIER: tier}}})

    return label


def _fast_is_gone(client: Client, _: str) -> None:
    _tiered(None)(client)


def _key_wanted(client: Client, namespace: str) -> None:
    client.create("apikeys", an_object("APIKey", "app"), namespace)


def _key_ready(client: Client, namespace: str) -> None:
    _key_wanted(client, namespace)
    ref = ("apikeys", namespace, "app")
    wait_until(lambda: condition(client.find(*ref), "Ready")[0] == "True", "the key is issued", timeout=SOON)


def _key_rotated(client: Client, namespace: str) -> None:
    client.merge("apikeys", namespace, "app", {"spec": {"rotation": {"serial": 2, "overlap": "0s"}}})


def _nothing(_: Client, __: str) -> None:
    """The namespace is empty to begin with."""


WORKLOADS: Final[Mapping[str, Workload]] = {
    "create": Workload(_nothing, _create),
    "scale": Workload(_ready, _edited(replicas=3)),
    "engine change": Workload(_ready, _edited(model=OTHER)),
    "rollback": Workload(_in_mid_rollout, _edited(model=SOURCE)),
    "delete": Workload(_ready, _deleted),
    "pool fallback": Workload(_ready, _fast_is_gone, _tiered(POOLS[0])),
    "host moved": Workload(_ready, _moved),
    "key": Workload(_nothing, _key_wanted),
    "key rotated": Workload(_key_ready, _key_rotated),
}
