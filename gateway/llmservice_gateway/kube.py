"""The cluster as the source of objects: list, then watch, in one thread per kind, and namespace where some are named.

list ──> Listed ──> watch from its version ──> Put, Gone …
 ^                     │ ends after `relist` seconds, at 410, or at any failure
 └─ backoff if failed ─┘
"""

import asyncio
import itertools
import json
import logging
import os
import random
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import urllib3
from kubernetes import client, config

from llmservice_api.names import GROUP, VERSION
from llmservice_gateway.parts import Parts
from llmservice_gateway.settings import SettingsError
from llmservice_gateway.source import KINDS, Event, Gone, Kind, Listed, Put

_LOG: Final = logging.getLogger(__name__)
_PAGE: Final = 500
_FORBIDDEN: Final = 403
_CONNECT: Final = 5.0
_SILENCE: Final = 90.0
"""Seconds without a byte after which a watch counts as dead; the apiserver sends a bookmark about every 60."""

_EVENTS: Final[Mapping[str, Callable[[Kind, Any], Event]]] = {"ADDED": Put, "MODIFIED": Put, "DELETED": Gone}

Deliver = Callable[[Event], None]


class Place(NamedTuple):
    """What one thread follows: a kind in a namespace, or everywhere where that is empty."""

    kind: Kind
    namespace: str

    def __str__(self) -> str:
        return f"{self.kind} in {self.namespace}" if self.namespace else self.kind


class WatchLost(Exception):
    """The watch cannot go on from where it is; a new list is needed."""


class ThreadEnded(Exception):
    """A thread met what nobody foresaw; the message is its kind."""


class KubernetesSource:
    """Lists and watches in `namespaces`, or in all where none is named, for ever.

    `relist` is seconds between lists, `failed` counts failures, `backoff` is the first and the longest pause after
    one, in seconds; `kinds` are those to watch.
    """

    def __init__(
        self,
        api: Any,
        relist: int,
        failed: Callable[[], None],
        backoff: tuple[float, float] = (0.2, 10.0),
        kinds: Sequence[Kind] = KINDS,
        namespaces: Sequence[str] = (),
    ) -> None:
        self._api = api
        self._relist = relist
        self._failed = failed
        self._backoff = backoff
        self._kinds = kinds
        self._namespaces = namespaces

    async def events(self) -> AsyncIterator[Event]:
        """What happened, in order per kind; never ends, but raises where a thread ends that must not."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[tuple[str, Event | ThreadEnded]] = asyncio.Queue()
        stop = threading.Event()
        parts = Parts(self._namespaces)

        def run(place: Place) -> None:
            def deliver(event: Event | ThreadEnded) -> None:
                if not stop.is_set():
                    loop.call_soon_threadsafe(queue.put_nowait, (place.namespace, event))

            try:
                self._follow(place, deliver, stop)
            except Exception:  # noqa: BLE001 - said in the log, and it ends the gateway
                # Without its watch a gateway would go on with keys that are revoked: better to start anew.
                _LOG.exception("watching %s", place)
                deliver(ThreadEnded(place.kind))

        for place in itertools.starmap(Place, itertools.product(self._kinds, self._namespaces or [""])):
            threading.Thread(target=run, args=(place,), name=str(place), daemon=True).start()
        try:
            while True:
                namespace, event = await queue.get()
                if isinstance(event, ThreadEnded):
                    raise event
                told = parts.whole(namespace, event) if namespace else event
                if told is not None:
                    yield told
        finally:
            stop.set()

    def _follow(self, place: Place, deliver: Deliver, stop: threading.Event) -> None:
        low, high = self._backoff
        delay, is_first = low, True
        while not stop.is_set():
            try:
                version = self._list(place, deliver)
                delay, is_first = low, False
                self._watch(place, version, deliver)
                stop.wait(low)
            except (client.ApiException, urllib3.exceptions.HTTPError, OSError, ValueError, WatchLost) as error:
                self._failed()
                _LOG.warning("watching %s: %s; trying again in %.1f s", place, one_line(error), delay)
                if place.namespace and is_first and getattr(error, "status", None) == _FORBIDDEN:
                    # A namespace that was deleted took its Role along: the others must not wait for it.
                    deliver(Listed(place.kind, []))
                    is_first = False
                stop.wait(delay * random.uniform(0.5, 1.0))
                delay = min(delay * 2, high)

    def _list(self, place: Place, deliver: Deliver) -> str:
        objects: list[Any] = []
        token: str | None = None
        while True:
            extra = {"_continue": token} if token else {}
            page = json.loads(self._get(place, limit=_PAGE, _request_timeout=(_CONNECT, 30.0), **extra).data)
            objects.extend(page["items"])
            token = page["metadata"].get("continue")
            if not token:
                deliver(Listed(place.kind, objects))
                return str(page["metadata"]["resourceVersion"])

    def _watch(self, place: Place, version: str, deliver: Deliver) -> None:
        response = self._get(
            place,
            watch=True,
            resource_version=version,
            allow_watch_bookmarks=True,
            timeout_seconds=self._relist,
            _request_timeout=(_CONNECT, _SILENCE),
        )
        try:
            for line in _lines(response):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise WatchLost(event["object"].get("message", "no message"))
                if event["type"] in _EVENTS:
                    deliver(_EVENTS[event["type"]](place.kind, event["object"]))
        finally:
            response.release_conn()
            response.close()

    def _get(self, place: Place, **arguments: Any) -> Any:
        arguments["_preload_content"] = False
        if place.namespace:
            return self._api.list_namespaced_custom_object(GROUP, VERSION, place.namespace, place.kind, **arguments)
        return self._api.list_cluster_custom_object(GROUP, VERSION, place.kind, **arguments)


def connect() -> Any:
    """A client for the cluster that the pod runs in, else the one that KUBECONFIG names; raises SettingsError."""
    try:
        if "KUBERNETES_SERVICE_HOST" in os.environ:
            config.load_incluster_config()
        else:
            config.load_kube_config()
    except config.ConfigException as error:
        raise SettingsError(f"no cluster to read from: {error}") from error
    return client.CustomObjectsApi()


def one_line(error: Exception) -> str:
    """What a call of the client failed with, short enough for a log."""
    if isinstance(error, client.ApiException):
        return f"{error.status} {error.reason}"
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _lines(response: Any) -> Iterator[bytes]:
    rest = b""
    for chunk in response.stream(amt=None, decode_content=False):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line for line in lines if line)
