"""A full list of every kind, compared with what the watches delivered: what a watch lost is found here."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from llmservice_api.names import LABEL_SERVICE, LLMSERVICES
from llmservice_operator.cluster import ApiError, Cluster
from llmservice_operator.handlers import CHILDREN, SHARED, Router, watched
from llmservice_operator.store import Ref, Store, ref_of

Json = dict[str, Any]

log = logging.getLogger("llmservice")

_RETRY_SECONDS: Final = 5.0
_GRACE_SECONDS: Final = 30.0


@dataclass
class Relister:
    """`served`: kinds that the API server had at the last relist, each of which must have a watcher."""

    store: Store
    cluster: Cluster
    router: Router
    seconds: float
    namespaces: tuple[str, ...] = ()
    served: set[str] = field(default_factory=set)

    async def run(self, relisted: Callable[[], None]) -> None:
        """Relist for ever; `relisted` is called after each complete one."""
        while True:
            try:
                served = await self.relist()
            except (TimeoutError, ApiError, OSError) as error:
                log.warning("a relist failed, and is tried again: %s: %s", type(error).__name__, error)
                await asyncio.sleep(_RETRY_SECONDS)  # the age of the last relist turns liveness red
                continue
            relisted()
            await asyncio.sleep(min(_GRACE_SECONDS, self.seconds))  # a new kind's watcher needs a moment to start
            self.served = served
            await asyncio.sleep(max(self.seconds - _GRACE_SECONDS, 0))

    async def relist(self) -> set[str]:
        """One relist of all kinds; returns those that the API server has."""
        served = set()
        for plural in watched(self.namespaces):
            before, listed = self.store.versions(plural), set[Ref]()
            try:
                async for page in self._pages(plural):
                    listed |= {ref_of(plural, obj) for obj in page}
                    self._take(plural, page)
            except ApiError as error:
                if error.status != 404:  # 404: the kind is not installed, such as KubeRay's
                    raise
                continue
            served.add(plural)
            self._touch(plural, self.store.drop_unlisted(plural, before, listed))
        return served

    def _take(self, plural: str, page: list[Json]) -> None:
        # Nodes report their status every few seconds, so that each relist finds newer ones with no news.
        shared = page if plural in SHARED else []
        alike = {ref_of(plural, obj) for obj in shared if not shared_part_changed(self.store, plural, obj)}
        changed = self.store.take(plural, page)
        self._touch(plural, {ref: obj for ref, obj in changed.items() if ref not in alike})

    def _touch(self, plural: str, changed: Mapping[Ref, Json]) -> None:
        if plural in SHARED:
            self.router.touch_shared(changed.keys())
            return
        for ref, obj in changed.items():
            self.router.touch(ref, obj)
            if plural == LLMSERVICES:
                self.router.touch_sharing(obj)

    async def _pages(self, plural: str) -> AsyncIterator[list[Json]]:
        selector = LABEL_SERVICE if plural in CHILDREN else ""
        forbidden = 0
        for namespace in self.namespaces or ("",):
            try:
                async for page in self.cluster.pages(plural, selector, namespace):
                    yield page
            except ApiError as error:
                forbidden += 1
                if error.status != 403 or forbidden == len(self.namespaces or ("",)):
                    raise
                # A namespace that was deleted took its Role along: the others must not wait for it.
                yield list(self.store.of_kind(plural, namespace))


def shared_part_changed(store: Store, plural: str, obj: Json) -> bool:
    """Whether labels, annotations or spec differ: nodes report their status every few seconds, which is no news."""
    known = store.get(ref_of(plural, obj))
    if known is None:
        return True
    parts = [(o["metadata"].get("labels"), o["metadata"].get("annotations"), o.get("spec")) for o in (known, obj)]
    return parts[0] != parts[1]
