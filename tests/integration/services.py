"""LLMServices on a real API server, with KubeRay's part played by the test."""

from typing import Any

from hack.cluster.poll import wait_until
from tests.integration.client import Client, an_object, eventually

Json = dict[str, Any]

SOURCE = {"source": "hf://org/model", "revision": "abc"}
SOON = 40.0
"""Seconds that anything may take on a busy machine."""


class Service:
    """An LLMService, and what KubeRay would do for it."""

    def __init__(self, client: Client, namespace: str, name: str = "m", **spec: Any) -> None:
        self.client, self.namespace, self.name = client, namespace, name
        self.ref = ("llmservices", namespace, name)
        client.create("llmservices", an_object("LLMService", name, **({"model": SOURCE} | spec)), namespace)

    @property
    def obj(self) -> Json:
        """As it stands."""
        return self.client.find(*self.ref) or {}

    @property
    def status(self) -> Json:
        """Its status."""
        return dict(self.obj.get("status") or {})

    @property
    def revisions(self) -> list[str]:
        """Its RayServices."""
        return [name for name in self.client.names("rayservices", self.namespace) if name[:-7] == self.name]

    def edit(self, **spec: Any) -> None:
        """The user changes the spec."""
        self.client.merge(*self.ref, {"spec": spec})

    def says(self, kind: str, state: str, reason: str, within: float = SOON) -> str:
        """Wait for a condition."""
        return eventually(self.client, self.ref, kind, state, reason, within)

    def revision(self, *, beside: str = "") -> str:
        """Wait for a revision other than `beside`."""
        return wait_until(lambda: next(iter(set(self.revisions) - {beside}), ""), "a revision is made", timeout=SOON)

    def comes_up(self, revision: str) -> None:
        """KubeRay's part: the application runs."""
        running = {"applicationStatuses": {"llm": {"status": "RUNNING"}}}
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "Up",
            "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        status = {"conditions": [ready], "activeServiceStatus": running}
        self.client.merge("rayservices", self.namespace, revision, {"status": status}, "status")

    def fails(self, revision: str, message: str) -> None:
        """KubeRay's part: the application failed."""
        failed = {"applicationStatuses": {"llm": {"status": "DEPLOY_FAILED", "message": message}}}
        self.client.merge(
            "rayservices", self.namespace, revision, {"status": {"pendingServiceStatus": failed}}, "status"
        )


def serving(client: Client, namespace: str, **spec: Any) -> tuple[Service, str]:
    """A service that is Ready, and its revision."""
    service = Service(client, namespace, **spec)
    revision = service.revision()
    service.comes_up(revision)
    service.says("Ready", "True", "Serving")
    return service, revision
