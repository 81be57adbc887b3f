"""`make chaos-metering`: requests through real gateways to a worker, while parts are killed; is all of it billed, once?

CHAOS_REQUESTS=10000 with each database, CHAOS_KILLS=10 of each part, CHAOS_SEED= to draw the same again; then how far
a Budget is overspent. Prints one JSON line last; its exit status is 1 where an event was lost or counted twice, or a
spent Budget let somebody in.
"""

import asyncio
import json
import os
import random
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from tests.chaos import overshoot, worker
from tests.chaos.clients import Clients, plans
from tests.chaos.engine import read_book
from tests.chaos.judgement import judge, told
from tests.chaos.kills import Killer, cut_answers, schedule
from tests.chaos.site import DATABASES, KEY, Database, Site, site_running
from tests.eventually import eventually

Json = dict[str, Any]
AT_ONCE: Final = 24
"""Requests that are under way together."""
_EMPTY_S: Final = 180
"""A sender that found the ledger away asks again after half a minute at most."""


@dataclass(frozen=True)
class Run:
    """What is drawn: so many requests, clients that leave, and kills of each part."""

    seed: int
    requests: int
    leaving: int
    kills: int


async def run(database: Database, asked: Run, folder: Path, say: Callable[[str], None]) -> Json:
    """One run with that database; its figures. `say` is told of each kill."""
    begun, chance = time.time(), random.Random(asked.seed)
    async with site_running(folder, database) as site:
        clients = Clients([each.url for each in site.gateways], KEY, worker.MODEL)
        killer = Killer(site.parts, lambda: clients.told.ended, say)
        kills = schedule(chance, asked.requests, asked.kills, {name: len(each) for name, each in site.parts.items()})
        # Not of the last ones: there must be something left to post.
        points = sorted(chance.randrange(asked.requests * 9 // 10) for _ in range(asked.kills))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(killer.run(kills))
            cutting = tasks.create_task(cut_answers(site.relay, points, lambda: clients.told.ended))
            tasks.create_task(clients.run(plans(chance, asked.requests, asked.leaving), AT_ONCE))
        figures = await _judged(site, clients, begun)
    assert killer.done == dict.fromkeys(site.parts, asked.kills), killer.done
    ended = {name: getattr(clients.told, name) for name in ("answered", "left", "broken")}
    done = {"kills": dict(killer.done), "answers_cut": cutting.result()}
    return {"requests": clients.told.ended, **ended, **done, **figures, "seconds": round(time.time() - begun, 1)}


async def _judged(site: Site, clients: Clients, begun: float) -> Json:
    """The verdict once the worker has sent everything."""
    await eventually(lambda: not site.spooled(), _EMPTY_S, 0.1)
    says_lost = await site.worker.finish()
    assert site.spooled() == []
    events, sums = await told(site.ledger, begun, time.time() + 60)
    found = judge(read_book(site.folder / worker.BOOK), clients.told.billed, events, sums)
    outcomes = {"client_left": sum(event.outcome == "client_left" for event in events)}
    return asdict(found) | outcomes | {"says_lost": says_lost, "sound": found.is_sound and says_lost == 0}


async def main() -> int:
    """Both databases, one after the other; the exit status."""
    this = asyncio.current_task()
    assert this is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)  # else all its processes stay
    requests = int(os.environ.get("CHAOS_REQUESTS", "10000"))
    seed = int(os.environ.get("CHAOS_SEED") or secrets.randbelow(10**6))
    asked = Run(seed, requests, max(requests // 80, 5), int(os.environ.get("CHAOS_KILLS", "10")))
    print(asked, file=sys.stderr)
    found: dict[str, Json] = {}
    for database in DATABASES:
        with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
            found[database] = await run(database, asked, Path(folder), lambda text: print(text, file=sys.stderr))
        print(database, found[database], file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        over = await overshoot.run(Path(folder))
    totals = {
        name: round(sum(each[name] for each in found.values()), 1) for name in ("lost", "double", "off", "seconds")
    }
    print(json.dumps({"seed": seed, **found, **totals, "overshoot": over}))
    return 0 if all(each["sound"] for each in found.values()) and not over["let_in"] else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
