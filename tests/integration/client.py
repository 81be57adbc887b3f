"""Requests to a control plane's API server as its admin, quick enough for a hundred of them."""

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

from hack.cluster.api import Api
from hack.cluster.poll import wait_until

Json = dict[str, Any]

VERSIONS = {
    "llmservices": "apis/llmservice.io/v1alpha1",
    "gpupools": "apis/llmservice.io/v1alpha1",
    "apikeys": "apis/llmservice.io/v1alpha1",
    "budgets": "apis/llmservice.io/v1alpha1",
    "rayservices": "apis/ray.io/v1",
    "networkpolicies": "apis/networking.k8s.io/v1",
    "ingresses": "apis/networking.k8s.io/v1",
    "ingressclasses": "apis/networking.k8s.io/v1",
    "poddisruptionbudgets": "apis/policy/v1",
    "leases": "apis/coordination.k8s.io/v1",
}
CHILDREN = ("rayservices", "services", "networkpolicies", "poddisruptionbudgets")


class Refused(Exception):
    """The API server would not; the text is its message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Client(Api):
    """Objects by plural, namespace and name."""

    def create(self, plural: str, obj: Json, namespace: str = "", *, trial: bool = False) -> Json:
        """Create with strict validation; `trial`: without keeping it."""
        words = "fieldValidation=Strict" + ("&dryRun=All" if trial else "")
        return self._send("POST", f"{path(plural, namespace)}?{words}", obj, "application/json")

    def find(self, plural: str, namespace: str, name: str) -> Json | None:
        """One object."""
        found: Json | None = self.get(path(plural, namespace, name))
        return found

    def names(self, plural: str, namespace: str) -> list[str]:
        """Names of all of a kind in a namespace."""
        answer: Any = self.get(path(plural, namespace))
        return sorted(item["metadata"]["name"] for item in answer["items"])

    def items(self, plural: str, namespace: str = "") -> list[Json]:
        """All of a kind."""
        answer: Any = self.get(path(plural, namespace))
        return list(answer["items"])

    def merge(self, plural: str, namespace: str, name: str, change: Json, part: str = "") -> Json:
        """Merge a change into an object or into its `part`, such as status."""
        where = path(plural, namespace, name) + (f"/{part}" if part else "")
        return self._send("PATCH", where, change, "application/merge-patch+json")

    def delete(self, plural: str, namespace: str, name: str) -> None:
        """Delete; what it owns goes in the background."""
        self._send("DELETE", path(plural, namespace, name), {"propagationPolicy": "Background"}, "application/json")

    def _send(self, method: str, where: str, body: Json, content_type: str) -> Json:
        target = urlsplit(self._config["clusters"][0]["cluster"]["server"])
        connection = http.client.HTTPSConnection(target.hostname or "", target.port, timeout=20, context=self._context)
        try:
            connection.request(method, where, json.dumps(body), {"Content-Type": content_type})
            answer = connection.getresponse()
            found: Json = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status >= 400:
            raise Refused(answer.status, found["message"])
        return found


def path(plural: str, namespace: str = "", name: str = "") -> str:
    """The URL's path of a kind or an object."""
    parts = ["", VERSIONS.get(plural, "api/v1"), *(["namespaces", namespace] if namespace else []), plural]
    return "/".join([*parts, *([name] if name else [])])


def condition(obj: Json | None, kind: str) -> tuple[str, str, str]:
    """Status, reason and message of a condition; three empty texts where it is absent."""
    found = [item for item in ((obj or {}).get("status") or {}).get("conditions", []) if item["type"] == kind]
    return (found[0]["status"], found[0]["reason"], found[0].get("message", "")) if found else ("", "", "")


def eventually(client: Client, ref: tuple[str, str, str], kind: str, state: str, reason: str, within: float) -> str:
    """Wait until a condition is so; its message."""
    wait_until(
        lambda: condition(client.find(*ref), kind)[:2] == (state, reason),
        f"{ref[0]} {ref[2]}: {kind} {state} {reason}",
        timeout=within,
    )
    return condition(client.find(*ref), kind)[2]


def an_object(kind: str, name: str, **spec: Any) -> Json:
    """An object of ours."""
    return {"apiVersion": "llmservice.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
