"""What the API server holds of one namespace, so that two runs can be compared: identities and times are masked."""

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from llmservice_api.names import FIELD_MANAGER, LABEL_NAMESPACE
from llmservice_operator.resources.ingress import ingress_name
from tests.chaos.operator.audit import Write
from tests.integration.client import CHILDREN, Client
from tests.integration.conftest import INSTALL_NAMESPACE

Json = dict[str, Any]

KINDS: Final = ("llmservices", "apikeys", *CHILDREN)
_MASKED: Final = frozenset(
    {
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "managedFields",
        "lastTransitionTime",
        "at",
        "clusterIP",
        "clusterIPs",
        "address",
        "llmservice.io/applied",
    }
)
_OF_A_KEY: Final = frozenset({"id", "digest", "data", "llmservice.io/key-id"})


def hosts(namespace: str) -> tuple[str, str]:
    """The two hosts that services of the namespace may have."""
    return f"a.{namespace}.example.com", f"b.{namespace}.example.com"


def state(client: Client, namespace: str) -> Json:
    """All of ours in the namespace, and its Ingresses in the gateway's."""
    found: Json = {}
    for plural in KINDS:
        for item in client.items(plural, namespace):
            found[f"{plural} {item['metadata']['name']}"] = item
    for item in client.items("secrets", namespace):
        found[f"secrets {item['metadata']['name']}"] = item
    for item in client.items("ingresses", INSTALL_NAMESPACE):
        if item["metadata"]["labels"].get(LABEL_NAMESPACE) == namespace:
            found[f"ingresses of {item['spec']['rules'][0]['host']}"] = item
    text = json.dumps(_masked(found))
    for host in hosts(namespace):
        text = text.replace(ingress_name(host), f"ingress of {host}")
    return dict(json.loads(text.replace(namespace, "NAMESPACE")))


def ownerless(client: Client, namespace: str) -> list[str]:
    """What the cluster's garbage collector, which takes its time, has yet to delete: the owner is gone."""
    found = [(plural, item["metadata"]) for plural in (*KINDS, "secrets") for item in client.items(plural, namespace)]
    there = {metadata["uid"] for _, metadata in found}
    return [
        f"{plural} {metadata['name']}"
        for plural, metadata in found
        if any(owner["uid"] not in there for owner in metadata.get("ownerReferences", ()))
    ]


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: "masked" if key in _OF_A_KEY else _masked(each) for key, each in value.items() if key not in _MASKED
        }
    return [_masked(each) for each in value] if isinstance(value, list) else value


def differences(found: Any, wanted: Any, where: str = "") -> list[str]:
    """Where two states differ, one line each; empty where they are the same."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        pairs = [(key, found.get(key), wanted.get(key)) for key in sorted({*found, *wanted})]
    elif isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        pairs = [(str(index), *pair) for index, pair in enumerate(zip(found, wanted, strict=True))]
    else:
        return [] if found == wanted else [f"{where}: {found!r:.200} in place of {wanted!r:.200}"]
    return [line for key, one, other in pairs for line in differences(one, other, f"{where}.{key}")]


def changes(writes: Iterable[Write], namespace: str) -> Counter[str]:
    """How often the operator has created and deleted each object of the namespace, by what the audit log tells."""
    ingresses = {(INSTALL_NAMESPACE, ingress_name(host)): host for host in hosts(namespace)}
    found: Counter[str] = Counter()
    for write in writes:
        host = ingresses.get((write.namespace, write.name))
        effect = _effect(write)
        if effect and (host or write.namespace == namespace) and write.plural != "events":
            found[f"{effect} {write.plural} {host or write.name}".replace(namespace, "NAMESPACE")] += 1
    return found


def _effect(write: Write) -> str:
    if write.verb == "delete" and write.code == 200:
        return "deleted"
    return "created" if write.is_creation else ""


def told(client: Client, namespace: str) -> Counter[str]:
    """The Events of the namespace, by what they say."""
    return Counter(
        f"{each['involvedObject']['kind']} {each['reason']} {each['message']}".replace(namespace, "NAMESPACE")
        for each in _events(client, namespace)
    )


def last_told(client: Client, namespace: str) -> str:
    """When the newest of them was, in whole seconds as Kubernetes writes it; empty where there is none."""
    return max((each["lastTimestamp"] for each in _events(client, namespace)), default="")


def _events(client: Client, namespace: str) -> list[Json]:
    found = client.items("events", namespace)
    return [each for each in found if each.get("reportingComponent") == FIELD_MANAGER]
