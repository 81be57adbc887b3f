"""Which of several operators writes: the one that holds the Lease and has renewed it lately.

    standby ──the Lease is free, or was not renewed for its duration──► leader ──not renewed in time──► the process ends

A Lease that is taken over was last seen changed a whole `lease` ago; its holder stopped writing at `trust`, which is
less. Both are measured by each process itself, on a clock that nobody sets, so clocks need not agree.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NoReturn, Protocol

from llmservice_api.names import OPERATOR_LEASE
from llmservice_operator.cluster import ApiError

Json = dict[str, Any]

log = logging.getLogger("llmservice")
_NEVER: Final = float("-inf")
_SOONEST: Final = 0.05
_RELEASE_SECONDS: Final = 2.0


class NotLeaderError(Exception):
    """This process may not write: it never led, or has not renewed its Lease in time."""


class Leases(Protocol):
    """How the Lease is read and written."""

    async def get(self, plural: str, namespace: str, name: str) -> Json | None:
        """The object, or None."""

    async def create(self, plural: str, obj: Json) -> Json:
        """ApiError 409 where it is there."""

    async def replace(self, plural: str, obj: Json) -> Json:
        """ApiError 409 where it is no longer of this resourceVersion."""


@dataclass(frozen=True)
class Terms:
    """Seconds: a Lease holds for `lease`; its holder writes for `trust` after a renewal; `retry` between attempts."""

    lease: float
    trust: float
    retry: float


def terms(lease_seconds: float) -> Terms:
    """15 s, 10 s and 2 s, as Kubernetes' own controllers have, or in the same proportion."""
    return Terms(lease_seconds, lease_seconds * 10 / 15, lease_seconds * 2 / 15)


@dataclass
class Elector:
    """`monotonic` counts also while the machine sleeps; `clock` is only what others are told."""

    leases: Leases
    namespace: str
    identity: str
    terms: Terms
    monotonic: Callable[[], float]
    clock: Callable[[], datetime]
    _trusted_until: float = _NEVER
    _seen: tuple[str, float] = field(default=("", _NEVER))

    @property
    def leads(self) -> bool:
        """Whether this process may write now."""
        return self.monotonic() < self._trusted_until

    def require(self) -> None:
        """Raise NotLeaderError unless this process may write now; asked right before every write is sent."""
        if not self.leads:
            raise NotLeaderError(f"{self.identity} does not hold Lease {OPERATOR_LEASE}, so it writes nothing")

    async def run(self, elected: Callable[[], None]) -> NoReturn:
        """Seek to lead and go on leading; `elected` is called when it leads. NotLeaderError once it leads no more."""
        while True:
            led = self.leads
            wait = await self.step()
            if self.leads and not led:
                log.info("leading as %s", self.identity)
                elected()
            await asyncio.sleep(wait)

    async def step(self) -> float:
        """One attempt to take the Lease or renew it. Returns seconds to the next; NotLeaderError where it is lost."""
        led = self._trusted_until != _NEVER
        began = self.monotonic()
        if led:
            self.require()
        try:
            async with asyncio.timeout(self._trusted_until - began if led else self.terms.trust):
                wait = await self._attempt(began, led=led)
        except (ApiError, OSError, TimeoutError) as error:
            log.warning("Lease %s could not be taken or renewed: %s: %s", OPERATOR_LEASE, type(error).__name__, error)
            wait = self.terms.retry
        if led:
            self.require()
        return wait

    async def release(self) -> None:
        """Give the Lease up, so that another process leads at once; from here on this one writes nothing."""
        if not self.leads:
            return
        self._trusted_until = _NEVER
        try:
            async with asyncio.timeout(_RELEASE_SECONDS):
                lease = await self.leases.get("leases", self.namespace, OPERATOR_LEASE)
                if lease is not None and lease["spec"].get("holderIdentity") == self.identity:
                    await self.leases.replace("leases", lease | {"spec": lease["spec"] | {"holderIdentity": ""}})
        except (ApiError, OSError, TimeoutError) as error:
            log.warning("Lease %s was not given up and will lapse: %s", OPERATOR_LEASE, error)

    async def _attempt(self, began: float, *, led: bool) -> float:
        lease = await self.leases.get("leases", self.namespace, OPERATOR_LEASE)
        if lease is None:
            await self.leases.create("leases", self._lease({}))
        else:
            left = self._left(lease)
            if led and not self._holds(lease):
                self._trusted_until = _NEVER
                raise NotLeaderError(f"Lease {OPERATOR_LEASE} was taken by {lease['spec'].get('holderIdentity')}")
            if left > 0:
                return max(min(left, self.terms.retry), _SOONEST)
            await self.leases.replace("leases", self._lease(lease))
        self._trusted_until = began + self.terms.trust
        return self.terms.retry

    def _left(self, lease: Json) -> float:
        """Seconds for which the Lease is another's, counted from when it was seen to change; 0: it may be taken."""
        version, now = lease["metadata"]["resourceVersion"], self.monotonic()
        if version != self._seen[0]:
            self._seen = (version, now)
        if self._holds(lease) or not lease["spec"].get("holderIdentity"):
            return 0
        return float(self._seen[1] + lease["spec"].get("leaseDurationSeconds", self.terms.lease) - now)

    def _holds(self, lease: Json) -> bool:
        return bool(lease["spec"].get("holderIdentity") == self.identity)

    def _lease(self, before: Json) -> Json:
        """The Lease as ours; with the resourceVersion of `before`, so that of two that take it one is refused."""
        known = before.get("spec", {})
        now = self.clock().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        taken = {} if before and self._holds(before) else {
            "acquireTime": now,
            "leaseTransitions": known.get("leaseTransitions", -1) + 1,
        }  # fmt: skip
        ours = {"holderIdentity": self.identity, "leaseDurationSeconds": round(self.terms.lease), "renewTime": now}
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": before.get("metadata", {"name": OPERATOR_LEASE, "namespace": self.namespace}),
            "spec": known | taken | ours,
        }
