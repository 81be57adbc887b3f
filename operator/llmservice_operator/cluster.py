"""The only file that speaks to the Kubernetes API: lists, server-side apply, delete, Events.

aiohttp and plain dicts, because server-side apply of a few thousand objects is the hot path: the official client
decodes each answer into models (docs/decisions/0050).
"""

import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from aiohttp.connector import AddrInfoType, Connection

from llmservice_api.names import API_VERSION, APIKEYS, BUDGETS, FIELD_MANAGER, GPUPOOLS, LLMSERVICES

Json = dict[str, Any]
Answered = Callable[[str, str, str], None]
"""Told of every answer: the resource (such as `llmservices/status`), the verb, the reason of a refusal or ""."""

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
    "leases": "coordination.k8s.io/v1",
}
_TIMEOUT: Final = aiohttp.ClientTimeout(total=30, connect=5, sock_read=10)
_VERBS: Final = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_UNACKNOWLEDGED_MS: Final = 4000
_PAGE: Final = "250"
"""Objects of one answer to a list."""


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

    def __init__(self, session: aiohttp.ClientSession, access: Access, on_answer: Answered = lambda *_: None) -> None:
        self._session = session
        self._access = access
        self._on_answer = on_answer

    async def pages(self, plural: str, label_selector: str = "", namespace: str = "") -> AsyncIterator[list[Json]]:
        """All objects of a kind, in one namespace or in all, a page at a time: no list of a fleet is held whole."""
        token = ""
        while True:
            params = {"labelSelector": label_selector, "limit": _PAGE, "continue": token}
            answer = await self._call("GET", (plural, namespace, ""), params=params)
            api_version, kind = answer["apiVersion"], answer["kind"].removesuffix("List")
            yield [{"apiVersion": api_version, "kind": kind, **item} for item in answer["items"]]
            token = (answer.get("metadata") or {}).get("continue", "")
            if not token:
                return

    async def get(self, plural: str, namespace: str, name: str) -> Json | None:
        """One object, or None where there is none."""
        try:
            return await self._call("GET", (plural, namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def metadata(self, plural: str, namespace: str, name: str) -> Json | None:
        """The metadata of an object whose content must not be read, or None: an empty patch takes no `get`."""
        try:
            return await self._call(
                "PATCH",
                (plural, namespace, name),
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
            (plural, metadata.get("namespace", ""), metadata["name"]),
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
            (plural, namespace, name),
            part="/status",
            params={"fieldManager": FIELD_MANAGER, "force": "true"},
            body=body,
            content_type="application/apply-patch+yaml",
        )

    async def delete(self, plural: str, namespace: str, name: str, uid: str) -> None:
        """Delete the object of this uid and what it owns; one that is gone already is no error."""
        options = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        try:
            await self._call("DELETE", (plural, namespace, name), body=options)
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    async def create(self, plural: str, obj: Json) -> Json:
        """Create an object; 409 where one of its name is there."""
        return await self._call("POST", (plural, obj["metadata"]["namespace"], ""), body=obj)

    async def replace(self, plural: str, obj: Json) -> Json:
        """Replace the whole object; 409 where it is no longer of the resourceVersion that `obj` bears."""
        metadata = obj["metadata"]
        return await self._call("PUT", (plural, metadata["namespace"], metadata["name"]), body=obj)

    async def create_event(self, event: Json) -> None:
        """Record an Event in the namespace that it names."""
        await self._call("POST", ("events", event["metadata"]["namespace"], ""), body=event)

    async def _call(
        self,
        method: str,
        of: tuple[str, str, str],
        *,
        part: str = "",
        params: Mapping[str, str] | None = None,
        body: Json | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Json:
        """One request for the plural, namespace and name of `of`; ApiError, counted, where it is not granted."""
        try:
            async with self._session.request(
                method,
                self._access.server + _path(*of) + part,
                params={key: value for key, value in (params or {}).items() if value},
                data=None if body is None else json.dumps(body),
                headers={"Accept": accept, "Content-Type": content_type, **self._access.headers()},
                ssl=self._access.tls,
            ) as response:
                answer = _answer(response.status, await response.text())
        except (aiohttp.ClientError, TimeoutError) as error:
            unreachable = ApiError(503, "Unreachable", f"{type(error).__name__}: {error}")
            self._on_answer(of[0] + part, _VERBS[method], unreachable.reason)
            raise unreachable from error
        except ApiError as error:
            self._on_answer(of[0] + part, _VERBS[method], error.reason)
            raise
        self._on_answer(of[0] + part, _VERBS[method], "")
        return answer


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
async def connect(
    access: Access,
    connections: int = 32,
    may_write: Callable[[], None] = lambda: None,
    on_answer: Answered = lambda *_: None,
) -> AsyncIterator[Cluster]:
    """A Cluster with a connection pool of its own.

    `may_write` raises where a write is forbidden. It is asked when a request has its connection and nothing stands
    between it and the wire: one that waited, or whose process was stopped, while leadership went is not sent.
    """

    class Request(aiohttp.ClientRequest):
        async def send(self, conn: Connection) -> aiohttp.ClientResponse:
            if self.method != "GET":
                may_write()
            return await super().send(conn)

    connector = aiohttp.TCPConnector(limit=connections, socket_factory=_socket)
    async with aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT, request_class=Request) as session:
        yield Cluster(session, access, on_answer)


def _socket(address: AddrInfoType) -> socket.socket:
    """A socket whose unacknowledged bytes the kernel drops: a write must not arrive when another operator leads."""
    found = socket.socket(*address[:3])
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)
    return found
