"""`python -m llmservice_operator`: the pieces put together. Settings come from the environment (settings.py)."""

import asyncio
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Final

import aiohttp
import kopf
from prometheus_client import CollectorRegistry

from llmservice_operator import health as health_module
from llmservice_operator.apikeys import KeyIssuer, new_key
from llmservice_operator.cluster import Access, connect
from llmservice_operator.handlers import WATCHED, Key, Router, configure, registry
from llmservice_operator.keys import pepper_from, probe_key
from llmservice_operator.metrics import Metrics
from llmservice_operator.probe import HttpProber
from llmservice_operator.reconcile import Prober, Reconciler
from llmservice_operator.relist import Relister, shared_part_changed
from llmservice_operator.settings import Settings, SettingsError, from_environment
from llmservice_operator.store import Store
from llmservice_operator.workqueue import KeyQueue

log = logging.getLogger("llmservice")
_CREDENTIALS_SECONDS: Final = 60.0
_KEY_WORKERS: Final = 4


def login(settings: kopf.OperatorSettings) -> kopf.ConnectionInfo:
    """Credentials of the pod's service account, else of the kubeconfig."""
    found = kopf.login_with_service_account(settings=settings) or kopf.login_with_kubeconfig(settings=settings)
    if found is None:
        raise SettingsError("no cluster: run in a pod with a service account, or set KUBECONFIG")
    return found


def access(settings: kopf.OperatorSettings, monotonic: Callable[[], float]) -> Access:
    """Access for our own requests, with credentials read anew every minute, since a pod's token is renewed."""
    info = login(settings)
    known: list[tuple[float, Mapping[str, str]]] = [(monotonic(), info.as_http_headers())]

    def headers() -> Mapping[str, str]:
        if monotonic() - known[0][0] > _CREDENTIALS_SECONDS:
            known[0] = (monotonic(), login(settings).as_http_headers())
        return known[0][1]

    return Access(info.server.rstrip("/"), info.as_ssl_context(), headers)


def now() -> datetime:
    """The clock."""
    return datetime.now(UTC).replace(microsecond=0)


def live_watchers() -> set[str]:
    """Plurals that kopf has a living watcher task for."""
    names = [task.get_name() for task in asyncio.all_tasks() if not task.done()]
    return {name.removeprefix("watcher for ").split(".", 1)[0] for name in names if name.startswith("watcher for ")}


async def run(settings: Settings, prober: Prober | None = None) -> None:
    """Run until cancelled or stopped by a signal. `prober` None: real requests over HTTP."""
    kopf_settings = kopf.OperatorSettings()
    configure(kopf_settings)
    pepper = pepper_from(settings.pepper_file.read_text())
    instance = socket.gethostname()
    store, metrics = Store(), Metrics(CollectorRegistry())
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(connect(access(kopf_settings, time.monotonic)))
        if prober is None:
            session = await stack.enter_async_context(aiohttp.ClientSession())
            prober = HttpProber(session, probe_key(pepper).text, settings.install.gateway_url)
        reconciler = Reconciler(store, cluster, prober, settings.install, now, instance)
        issuer = KeyIssuer(store, cluster, settings.install, pepper, new_key, now, instance)

        async def reconcile_service(key: Key) -> float | None:
            with metrics.timed("LLMService"):
                return await reconciler.reconcile(*key)

        async def reconcile_key(key: Key) -> float | None:
            with metrics.timed("APIKey"):
                return await issuer.reconcile(*key)

        services = KeyQueue(reconcile_service, metrics.failed("LLMService", log))
        api_keys = KeyQueue(reconcile_key, metrics.failed("APIKey", log))
        router = Router(store, services, api_keys)
        metrics.watch_queues({"LLMService": services, "APIKey": api_keys})
        relister = Relister(store, cluster, router, settings.relist_seconds, settings.namespaces)
        health = health_module.Health(
            settings.relist_seconds, time.monotonic, lambda: sorted(relister.served - live_watchers())
        )
        runner = await health_module.serve(health, metrics.registry, settings.port)
        stack.push_async_callback(runner.cleanup)
        synced = asyncio.Event()

        def relisted() -> None:
            health.relisted()
            synced.set()

        async def work(queue: KeyQueue[Key]) -> None:
            await synced.wait()  # before all is known, a child that is there would look deleted
            await queue.work()

        async with asyncio.TaskGroup() as tasks:
            background = [
                tasks.create_task(health.tick()),
                tasks.create_task(relister.run(relisted)),
                *(tasks.create_task(work(services)) for _ in range(settings.workers)),
                *(tasks.create_task(work(api_keys)) for _ in range(_KEY_WORKERS)),
            ]
            await kopf.operator(
                registry=_registry(router, store),
                settings=kopf_settings,
                clusterwide=not settings.namespaces,
                namespaces=settings.namespaces,
            )
            for task in background:
                task.cancel()


def _registry(router: Router, store: Store) -> kopf.OperatorRegistry:
    found = registry(router, lambda plural, obj: shared_part_changed(store, plural, obj))
    kopf.on.login(registry=found)(lambda settings, **_: login(settings))
    return found


def main() -> int:
    """Exit 2 on a wrong setting, with one line that says which."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("kopf").setLevel(logging.WARNING)
    try:
        settings = from_environment(os.environ)
        log.info("watching %s", ", ".join(WATCHED))
        asyncio.run(run(settings))
    except SettingsError as error:
        print(f"llmservice-operator: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
