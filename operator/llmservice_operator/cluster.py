"""The only file that speaks to the Kubernetes API: lists, server-side apply, delete, Events.

aiohttp and plain dicts, because server-side apply of a few thousand objects is the hot path: the official client
decodes each answer into models (docs/decisions/0050).
"""

import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from llmservice_api.names import API_VERSION, APIKEYS, BUDGETS, FIELD_MANAGER, GPUPOOLS, LLMSERVICES

Json = dict[str, Any]

API_VERSIONS: Final[Mapping[str, str]] = {
    LLMSERVICES: API_VERSION,
    GPUPOOLS: API_VERSION,
    APIKEYS: API_VERSION,
    BUDGETS: API_VERSION,
    "rayservices": "ray.io/v1",
    "rayclusters": "ray.io/v1",
    "services": "v1",
    "pods": "v1",
    "nodes": "v1",
    "secrets": "v1",
    "events": "v1",
    "persistentvolumeclaims": "v1",
    "networkpolicies": "networking.k8s.io/v1",
    "ingresses": "networking.k8s.io/v1",
    "ingressclasses": "networking.k8s.io/v1",
    "poddisruptionbudgets": "policy/v1",
}
_TIMEOUT: Final = aiohttp.ClientTimeout(total=30, connect=5)


class ApiError(Exception):
    """The API server refused; `status` is the HTTP status, `reason` Kubernetes' word for it."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message


@dataclass(frozen=True)
class Access:
    """How to reach the API server; `headers` is asked before each request, since a mounted token is renewed."""

    server: str
    tls: ssl.SSLContext
    headers: Callable[[], Mapping[str, str]]


class Cluster:
    """The API server, by plural names and plain objects."""

    def __init__(self, session: aiohttp.ClientSession, access: Access) -> None:
        self._session = session
        self._access = access

    async def list(self, plural: str, label_selector: str = "", namespace: str = "") -> list[Json]:
        """All objects of a kind, in one namespace or in all."""
        answer = await self._call("GET", _path(plural, namespace), params={"labelSelector": label_selector})
        api_version, kind = answer["apiVersion"], answer["kind"].removesuffix("List")
        return [{"apiVersion": api_version, "kind": kind, **item} for item in answer["items"]]

    async def get(self, plural: str, namespace: str, name: str) -> Json | None:
        """One object, or None where there is none."""
        try:
            return await self._call("GET", _path(plural, namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def metadata(self, plural: str, namespace: str, name: str) -> Json | None:
        """The metadata of an object whose content must not be read, or None: an empty patch takes no `get`."""
        try:
            return await self._call(
                "PATCH",
                _path(plural, namespace, name),
                body={},
                content_type="application/merge-patch+json",
                accept="application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
            )
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def apply(self, plural: str, obj: Json, *, force: bool, trial: bool = False) -> Json:
        """Server-side apply; without `force` a field that another manager owns is a 409. A `trial` changes nothing."""
        metadata = obj["metadata"]
        return await self._call(
            "PATCH",
            _path(plural, metadata.get("namespace", ""), metadata["name"]),
            params={
                "fieldManager": FIELD_MANAGER,
                "force": "true" if force else "false",
                "dryRun": "All" if trial else "",
            },
            body=obj,
            content_type="application/apply-patch+yaml",
        )

    async def apply_status(self, plural: str, namespace: str, name: str, status: Json) -> Json:
        """Server-side apply of the status alone; what is absent from it is removed. 404 where the object is gone."""
        kinds = {LLMSERVICES: "LLMService", APIKEYS: "APIKey", GPUPOOLS: "GPUPool"}
        body = {
            "apiVersion": API_VERSION,
            "kind": kinds[plural],
            "metadata": {"name": name, "namespace": namespace} if namespace else {"name": name},
            "status": status,
        }
        return await self._call(
            "PATCH",
            _path(plural, namespace, name) + "/status",
            params={"fieldManager": FIELD_MANAGER, "force": "true"},
            body=body,
            content_type="application/apply-patch+yaml",
        )

    async def delete(self, plural: str, namespace: str, name: str, uid: str) -> None:
        """Delete the object of this uid and what it owns; one that is gone already is no error."""
        options = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        try:
            await self._call("DELETE", _path(plural, namespace, name), body=options)
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    async def create_event(self, event: Json) -> None:
        """Record an Event in the namespace that it names."""
        await self._call("POST", _path("events", event["metadata"]["namespace"]), body=event)

    async def _call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Json | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Json:
        try:
            async with self._session.request(
                method,
                self._access.server + path,
                params={key: value for key, value in (params or {}).items() if value},
                data=None if body is None else json.dumps(body),
                headers={"Accept": accept, "Content-Type": content_type, **self._access.headers()},
                ssl=self._access.tls,
            ) as response:
                return _answer(response.status, await response.text())
        except aiohttp.ClientError as error:
            raise ApiError(503, "Unreachable", f"{type(error).__name__}: {error}") from error


def _path(plural: str, namespace: str = "", name: str = "") -> str:
    version = API_VERSIONS[plural]
    parts = ["/api" if "/" not in version else "/apis", version]
    parts += ["namespaces", namespace] if namespace else []
    return "/".join([*parts, plural, *([name] if name else [])])


def _answer(status: int, text: str) -> Json:
    """The decoded answer; ApiError where it is a refusal, or was written by something else than an API server."""
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    if status < 400 and isinstance(answer, dict):
        return answer
    said: Json = answer if isinstance(answer, dict) else {}
    status = status if status >= 400 else 502
    raise ApiError(status, said.get("reason", "Unknown"), said.get("message", text[:500]))


@asynccontextmanager
async def connect(access: Access, connections: int = 32) -> AsyncIterator[Cluster]:
    """A Cluster with a connection pool of its own."""
    connector = aiohttp.TCPConnector(limit=connections)
    async with aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT) as session:
        yield Cluster(session, access)
