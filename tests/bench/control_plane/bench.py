"""`make bench-control-plane`: LLMServices applied at 100/s; ours beside a Go one, a naive one and the server's floor.

SIZES=100,1000,5000,10000; IDLE=600 seconds; ONLY=ours,go,naive,floor; QUICK=1 for 100 and 300 services and a short
silence; PROFILE=1 for shares of our CPU by its parts, which slows it. Each operator has a fresh etcd and API server,
whose audit log is what is judged. RayServices come up by the rig's stand-in. One JSON line last, also in
build/bench/control_plane.json, which is written after every run.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from hack.cluster.cache import REPOSITORY
from hack.cluster.control_plane import ControlPlane
from hack.cluster.failure import ClusterError
from llmservice_api.names import LLMSERVICES
from llmservice_operator.cluster import Cluster
from tests.bench.control_plane import figures, load
from tests.bench.control_plane.operators import OPERATORS, Counter, Operator, Ours, cpu_seconds, peak_mb, rss_mb
from tests.bench.control_plane.profile import profiled
from tests.bench.quick import is_quick
from tests.chaos.operator.audit import Audit, Write
from tests.chaos.operator.ray import RayStandIn
from tests.chaos.operator.rig import install
from tests.eventually import eventually
from tests.integration.client import Client, an_object

Json = dict[str, Any]

RESULT: Final = REPOSITORY / "build" / "bench" / "control_plane.json"
PER_SECOND: Final = 100.0
READY_DELAY_S: Final = 0.5
_PATIENCE_S: Final = 1800
_QUIET_S: Final = 5
_ALONE_FROM: Final = 90_000
"""Numbers of the LLMServices that come one a second."""


@dataclass(frozen=True)
class Asked:
    """So many LLMServices at 100/s, after `alone` that come one a second; then `idle_s` seconds of silence.

    `profile`: whether ours is looked at meanwhile.
    """

    count: int
    alone: int = 0
    idle_s: float = 0
    profile: bool = False


@dataclass(frozen=True)
class Site:
    """An API server, whose log tells all; `cluster` is who applies."""

    plane: ControlPlane
    cluster: Cluster
    audit: Audit
    folder: Path

    def written(self, operator: Operator) -> list[Write]:
        """By the operator, since the log was last forgotten; LLMServices are made by the loader, who may be one."""
        return [
            write
            for write in self.audit.read()
            if write.user == operator.user and not (write.plural == LLMSERVICES and write.is_creation)
        ]


def runs(environment: Mapping[str, str]) -> list[Asked]:
    """What SIZES, IDLE and QUICK ask for; what is one a second and what is idle comes with the smallest size.

    Raises ValueError that names the variable.
    """
    quick = is_quick(environment)
    sizes = environment.get("SIZES", "100,300" if quick else "100,1000,5000,10000").split(",")
    idle = environment.get("IDLE", "10" if quick else "600")
    if not all(text.isdecimal() and int(text) for text in sizes):
        raise ValueError(f"SIZES={','.join(sizes)}: give counts of LLMServices, such as 100,1000")
    if not idle.isdecimal():
        raise ValueError(f"IDLE={idle}: give whole seconds, such as 600")
    profile = environment.get("PROFILE", "0")
    if profile not in ("0", "1"):
        raise ValueError(f"PROFILE={profile}: give 1 or 0")
    smallest, *others = sorted(map(int, sizes))
    first = Asked(smallest, alone=5 if quick else 30, idle_s=float(idle))
    return [replace(each, profile=profile == "1") for each in (first, *map(Asked, others))]


def named(environment: Mapping[str, str]) -> list[type[Operator]]:
    """Who is run. Raises ValueError where ONLY names one that is none."""
    known = {make.name: make for make in OPERATORS}
    only = environment.get("ONLY", ",".join(known)).split(",")
    if unknown := [name for name in only if name not in known]:
        raise ValueError(f"ONLY: there is no {', '.join(unknown)}; name some of {', '.join(known)}")
    return [make for name, make in known.items() if name in only]


async def measured(operator: Operator, asked: Asked) -> Json:
    """One operator under one load; its figures."""
    async with _site() as site:
        operator.start(site.plane, site.folder)
        try:
            await eventually(operator.is_ready, _PATIENCE_S, 0.1)
            found = await _one_a_second(operator, asked.alone, site) if asked.alone else {}
            found |= await _looked_at(operator, asked, site)
            found |= await _idle(operator, asked.idle_s, site) if asked.idle_s else {}
            if operator.counter is not None:
                found |= await _restarted(operator, operator.counter, asked.count + asked.alone, site)
            return found
        finally:
            operator.stop()


async def _one_a_second(operator: Operator, count: int, site: Site) -> Json:
    numbers = range(_ALONE_FROM, _ALONE_FROM + count)
    waits = await _applied(operator, numbers, 1, site)
    return {f"p{part}_ms_at_1": round(figures.quantile(waits, part / 100) * 1e3, 1) for part in (50, 99)}


async def _looked_at(operator: Operator, asked: Asked, site: Site) -> Json:
    pid = operator.pid()
    if not (asked.profile and isinstance(operator, Ours) and pid):
        return await _under_load(operator, asked.count, site)
    with profiled(pid, site.folder) as shares:
        found = await _under_load(operator, asked.count, site)
    return found | {"cpu_shares": shares}


async def _under_load(operator: Operator, count: int, site: Site) -> Json:
    pid = operator.pid()
    before, rss_before = (cpu_seconds(pid), rss_mb(pid)) if pid else (0.0, 0.0)
    waits = await _applied(operator, range(count), PER_SECOND, site)
    rate, traffic = figures.rate(site.audit.writes, operator.user, count), figures.traffic(site.audit.writes)
    while len(site.written(operator)) != await _after_a_while(operator, site):
        pass  # statuses are still being written
    found = {f"p{part}_ms": round(figures.quantile(waits, part / 100) * 1e3, 1) for part in (50, 99)}
    found |= {
        "rate": round(rate, 2),
        "all_writes_per_second": traffic,
        **figures.per_service(site.written(operator), count),
    }
    if pid:
        cpu, rss = cpu_seconds(pid) - before, rss_mb(pid)
        found |= {
            "per_cpu_second": round(count / cpu, 2),
            "rss_mb": rss,
            "kb_per_service": round((rss - rss_before) * 1024 / count, 1),
        }
    return found


async def _applied(operator: Operator, numbers: range, per_second: float, site: Site) -> list[float]:
    """Seconds that each LLMService waited for its children, once all have them."""
    site.audit.forget()

    def waits() -> dict[tuple[str, str], float]:
        operator.require_alive()
        return figures.waits(site.audit.read(), operator.user, len(figures.CHILDREN))

    await load.apply_all(site.cluster, numbers, per_second, operator.writer(site.cluster, numbers))
    await eventually(lambda: len(waits()) >= len(numbers), _PATIENCE_S, 0.5)
    return list(waits().values())


async def _after_a_while(operator: Operator, site: Site) -> int:
    await asyncio.sleep(_QUIET_S)
    return len(site.written(operator))


async def _idle(operator: Operator, seconds: float, site: Site) -> Json:
    site.audit.forget()
    await asyncio.sleep(seconds)  # that nothing is written in this time is what is measured
    return {"idle_writes": len(site.written(operator)), "idle_s": seconds}


async def _restarted(operator: Operator, counter: Counter, count: int, site: Site) -> Json:
    """Killed and started again: seconds until each LLMService was looked at; writes by then, and the peak of memory."""
    site.audit.forget()
    begun = time.monotonic()
    operator.restart()
    await eventually(lambda: counter.read() >= count, _PATIENCE_S, 0.1)
    taken = time.monotonic() - begun
    pid = operator.pid()
    peak = {"restart_peak_mb": peak_mb(pid)} if pid else {}
    return {"restart_s": round(taken, 2), "restart_writes": len(site.written(operator)), **peak}


@contextlib.asynccontextmanager
async def _site() -> AsyncIterator[Site]:
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        ControlPlane(audit=True) as plane,
        contextlib.closing(Audit(plane.audit_log)) as audit,
    ):
        install(plane)
        client = Client(plane.kubeconfig)
        client.create("nodes", {"metadata": {"name": "plain"}})
        client.create("gpupools", an_object("GPUPool", "cpu", **load.POOL))
        for index in range(load.NAMESPACES):
            client.create("namespaces", {"metadata": {"name": load.namespace(index)}})
        async with load.as_user(plane.user(load.USER, ["system:masters"])) as cluster:
            ray = asyncio.create_task(RayStandIn(client, READY_DELAY_S).run())
            yield Site(plane, cluster, audit, Path(folder))
            ray.cancel()
            await asyncio.wait({ray})


async def main() -> int:
    """All operators at all sizes, side by side; 1 where a run did not come to its end, 2 where one is asked amiss."""
    try:
        todo, operators = runs(os.environ), named(os.environ)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    task = asyncio.current_task()
    assert task is not None
    # What a run has started ends with it.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    found: dict[str, dict[int, Json]] = {make.name: {} for make in OPERATORS}
    for asked in todo:
        for make in operators:
            found[make.name][asked.count] = await _told(make(), asked)
            print(make.name, asked.count, found[make.name][asked.count], file=sys.stderr)
            RESULT.parent.mkdir(parents=True, exist_ok=True)
            RESULT.write_text(json.dumps({"runs": found}))
    result = json.dumps({"runs": found, **figures.summary(found)})
    RESULT.write_text(result)
    print(result)
    return int(any("failed" in told for by_size in found.values() for told in by_size.values()))


async def _told(operator: Operator, asked: Asked) -> Json:
    """Its figures; what went wrong in place of those of a run that did not come to its end."""
    try:
        return await measured(operator, asked)
    except (TimeoutError, ClusterError) as error:
        return {"failed": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
