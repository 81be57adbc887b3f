"""A full list of every kind, compared with what the watches delivered: what a watch lost is found here."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from llmservice_api.names import LABEL_SERVICE
from llmservice_operator.cluster import ApiError, Cluster
from llmservice_operator.handlers import CHILDREN, SHARED, WATCHED, Router
from llmservice_operator.store import Store, ref_of

Json = dict[str, Any]

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
            except (TimeoutError, ApiError, OSError):
                await asyncio.sleep(_RETRY_SECONDS)  # the age of the last relist turns liveness red
                continue
            relisted()
            await asyncio.sleep(min(_GRACE_SECONDS, self.seconds))  # a new kind's watcher needs a moment to start
            self.served = served
            await asyncio.sleep(max(self.seconds - _GRACE_SECONDS, 0))

    async def relist(self) -> set[str]:
        """One relist of all kinds; returns those that the API server has."""
        served = set()
        for plural in WATCHED:
            before = self.store.versions(plural)
            try:
                objects = await self._list(plural)
            except ApiError as error:
                if error.status != 404:  # 404: the kind is not installed, such as KubeRay's
                    raise
                continue
            served.add(plural)
            for ref in self.store.replace(plural, objects, before):
                found = self.store.get(ref)
                self.router.touch(ref, found)
                if found is None:
                    self.router.touch_all()
        return served

    async def _list(self, plural: str) -> list[Json]:
        selector = LABEL_SERVICE if plural in CHILDREN else ""
        if plural in SHARED or not self.namespaces:
            return await self.cluster.list(plural, selector)
        found = [await self.cluster.list(plural, selector, namespace) for namespace in self.namespaces]
        return [obj for objects in found for obj in objects]


def shared_part_changed(store: Store, plural: str, obj: Json) -> bool:
    """Whether labels, annotations or spec differ: nodes report their status every few seconds, which is no news."""
    known = store.get(ref_of(plural, obj))
    if known is None:
        return True
    parts = [(o["metadata"].get("labels"), o["metadata"].get("annotations"), o.get("spec")) for o in (known, obj)]
    return parts[0] != parts[1]
