"""`python -m llmservice_gateway.ledger`: the container's entry point."""

import asyncio
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from llmservice_api.json_lines import JsonLines
from llmservice_gateway.kube import KubernetesSource, connect
from llmservice_gateway.ledger import database, settings
from llmservice_gateway.ledger.cluster import BudgetWriter, TokenReviews
from llmservice_gateway.ledger.identity import Remembered
from llmservice_gateway.ledger.metrics import Metrics
from llmservice_gateway.ledger.registry import KINDS
from llmservice_gateway.ledger.service import Parts, Service
from llmservice_gateway.ledger.settings import Settings
from llmservice_gateway.ledger.store import StoreFailed, speaking
from llmservice_gateway.settings import SettingsError


def engine(chosen: Settings) -> Engine:
    """The database that the settings name, its tables up to date; raises StoreFailed, DatabaseUnusable."""
    found = database.postgresql(Path(chosen.dsn_file)) if chosen.dsn_file else database.sqlite(chosen.database)
    with speaking():
        database.migrate(found)
    return found


def parts(api: Any, chosen: Settings, metrics: Metrics) -> Parts:
    """What of the ledger speaks to the cluster."""
    failed, namespaces = metrics.failures.labels("kubernetes").inc, chosen.watch_namespaces
    source = KubernetesSource(api, chosen.relist_interval, failed, kinds=KINDS, namespaces=namespaces)
    return Parts(source, Remembered(TokenReviews(api), time.monotonic), BudgetWriter(api))


async def _main(chosen: Settings) -> None:
    metrics = Metrics()
    api = connect()
    service = Service(chosen, engine(chosen), parts(api, chosen, metrics), metrics, lambda: int(time.time() * 1000))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, service.stop)
    await service.run()


def main() -> int:
    """The exit status: 2 for what a person must change, 1 for a database that is away, said in one line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    try:
        asyncio.run(_main(settings.from_environment(os.environ)))
        return 0
    except (SettingsError, database.DatabaseUnusable) as error:
        print(f"llmservice-ledger: {error}", file=sys.stderr)
        return 2
    except StoreFailed as error:
        print(f"llmservice-ledger: the database cannot be used: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
