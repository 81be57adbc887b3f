"""`python -m llmservice_operator`: the pieces put together. Settings come from the environment (settings.py)."""

import asyncio
import logging
import os
import secrets
import socket
import sys
import time
from collections.abc import Callable, Collection, Coroutine, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
import kopf
from prometheus_client import CollectorRegistry

from llmservice_api.json_lines import JsonLines
from llmservice_api.names import GPUPOOLS, LLMSERVICES
from llmservice_operator import health as health_module
from llmservice_operator.apikeys import KeyIssuer, new_key
from llmservice_operator.cluster import Access, Cluster, connect
from llmservice_operator.gpupools import PoolReporter
from llmservice_operator.handlers import NothingRemembered, Router, configure, registry, watched
from llmservice_operator.hub import Hub
from llmservice_operator.keys import pepper_from, probe_key
from llmservice_operator.leader import Elector, NotLeaderError, terms
from llmservice_operator.metrics import Metrics
from llmservice_operator.observed import Install
from llmservice_operator.pool_file import read_pools
from llmservice_operator.probe import HttpProber
from llmservice_operator.reconcile import Prober, Reconciler
from llmservice_operator.relist import Relister, shared_part_changed
from llmservice_operator.service_metrics import ServiceMetrics
from llmservice_operator.settings import Settings, SettingsError, from_environment
from llmservice_operator.store import Store
from llmservice_operator.workqueue import KeyQueue

log = logging.getLogger("llmservice")
_CREDENTIALS_SECONDS: Final = 60.0
_KEY_WORKERS: Final = 4
_WATCHER: Final = "watcher for "


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


def read_pepper(file: Path) -> bytes:
    """The pepper of a mounted Secret."""
    try:
        return pepper_from(file.read_text())
    except (OSError, ValueError) as error:
        message = f"the pepper in {file} cannot be used: {error}; is Secret llmservice-pepper as the chart makes it?"
        raise SettingsError(message) from error


def now() -> datetime:
    """The clock."""
    return datetime.now(UTC).replace(microsecond=0)


def since_boot() -> float:
    """Seconds since the machine started, those that it slept included: a leader that slept must know."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def live_watchers() -> set[tuple[str, str]]:
    """Plural and namespace (`None`: all, or none) of each watcher that kopf has a living task for."""
    names = [task.get_name() for task in asyncio.all_tasks() if not task.done()]
    of = [name.removeprefix(_WATCHER).partition("@") for name in names if name.startswith(_WATCHER)]
    return {(resource.split(".", 1)[0], namespace) for resource, _, namespace in of}


async def run(settings: Settings, prober: Prober | None = None) -> None:
    """Run until cancelled or stopped by a signal; NotLeaderError in a group: the Lease was lost.

    `prober` None: real requests over HTTP.
    """
    kopf_settings = kopf.OperatorSettings()
    configure(kopf_settings, settings.namespaces)
    pepper = read_pepper(settings.pepper_file)
    store, metrics = Store(), Metrics(CollectorRegistry())
    for pool in read_pools(settings.pools_file) if settings.pools_file else ():
        store.put(GPUPOOLS, pool)
    async with AsyncExitStack() as stack:
        known = access(kopf_settings, time.monotonic)
        elector = _elector(settings, await stack.enter_async_context(connect(known, connections=1)))
        stack.push_async_callback(elector.release)
        cluster = await stack.enter_async_context(connect(known, may_write=elector.require, on_answer=metrics.answered))
        metrics.registry.register(ServiceMetrics(lambda: store.of_kind(LLMSERVICES) if elector.leads else ()))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        if prober is None:
            prober = HttpProber(session, probe_key(pepper).text, settings.install.gateway_url)
        hub = Hub(session, settings.hub_url, time.monotonic)
        router = _router(store, cluster, prober, hub, settings.install, pepper, metrics)
        queues: dict[str, KeyQueue[Any]] = {
            "LLMService": router.services,
            "APIKey": router.api_keys,
            "GPUPool": router.pools,
        }
        metrics.watch(queues, lambda: elector.leads)
        relister = Relister(store, cluster, router, settings.relist_seconds, settings.namespaces)
        health = health_module.Health(
            settings.relist_seconds,
            time.monotonic,
            lambda: health_module.dead_watchers(relister.served, live_watchers()),
        )
        runner = await health_module.serve(health, metrics.registry, settings.port)
        stack.push_async_callback(runner.cleanup)
        async with asyncio.TaskGroup() as tasks:
            background = [tasks.create_task(work) for work in _background(settings, router, relister, health, elector)]
            await kopf.operator(
                registry=_registry(router, store, watched(settings.namespaces)),
                settings=kopf_settings,
                memories=NothingRemembered(),
                clusterwide=not settings.namespaces,
                namespaces=settings.namespaces,
            )
            for task in background:
                task.cancel()


def _elector(settings: Settings, leases: Cluster) -> Elector:
    identity = f"{socket.gethostname()}_{secrets.token_hex(4)}"  # a container that restarts keeps its host's name
    return Elector(
        leases,
        settings.install.namespace,
        identity,
        terms(settings.lease_seconds),
        since_boot,
        lambda: datetime.now(UTC),
    )


def _router(
    store: Store, cluster: Cluster, prober: Prober, hub: Hub, install: Install, pepper: bytes, metrics: Metrics
) -> Router:
    """The three queues, each with what reconciles its keys."""
    instance = socket.gethostname()
    reconciler = Reconciler(
        store,
        cluster,
        prober,
        install,
        now,
        instance,
        models=hub,
        on_status=metrics.status_written,
    )
    issuer = KeyIssuer(store, cluster, install, pepper, new_key, now, instance)
    reporter = PoolReporter(store, cluster, now)
    return Router(
        store=store,
        services=KeyQueue(metrics.timed("LLMService", reconciler.reconcile), metrics.failed("LLMService", log)),
        api_keys=KeyQueue(metrics.timed("APIKey", issuer.reconcile), metrics.failed("APIKey", log)),
        pools=KeyQueue(metrics.timed("GPUPool", reporter.reconcile), metrics.failed("GPUPool", log)),
    )


def _background(
    settings: Settings, router: Router, relister: Relister, health: health_module.Health, elector: Elector
) -> list[Coroutine[Any, Any, None]]:
    """What runs beside the watches. Workers wait for the first relist: before, a child that is there looks deleted.

    A standby watches and queues as the leader does, and has its workers wait: to take over is to let them begin.
    """
    synced, elected = asyncio.Event(), asyncio.Event()

    def relisted() -> None:
        health.relisted()
        synced.set()

    async def work(queue: KeyQueue[Any]) -> None:
        await synced.wait()
        await elected.wait()
        await queue.work()

    return [
        elector.run(elected.set),
        health.tick(),
        relister.run(relisted),
        *(work(router.services) for _ in range(settings.workers)),
        *(work(router.api_keys) for _ in range(_KEY_WORKERS)),
        work(router.pools),
    ]


def _registry(router: Router, store: Store, kinds: Collection[str]) -> kopf.OperatorRegistry:
    found = registry(router, lambda plural, obj: shared_part_changed(store, plural, obj), kinds)
    kopf.on.login(registry=found)(lambda settings, **_: login(settings))
    return found


def main() -> int:
    """Exit 2 on a wrong setting, with one line that says which; 1 where leadership was lost."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("kopf").setLevel(logging.WARNING)
    try:
        settings = from_environment(os.environ)
        where = ", ".join(settings.namespaces) or "all namespaces"
        log.info("watching %s in %s", ", ".join(watched(settings.namespaces)), where)
        return _run(settings)
    except SettingsError as error:
        print(f"llmservice-operator: {error}", file=sys.stderr)
        return 2


def _run(settings: Settings) -> int:
    code = 0
    try:
        asyncio.run(run(settings))
    except* NotLeaderError as lost:
        log.error("ending, so that another operator leads: %s", lost.exceptions[0])
        code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
