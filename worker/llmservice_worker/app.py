"""The Serve application: one deployment whose replicas are vLLM engines with their own HTTP app. Only here is Ray.

The engine's replica is the ingress too: a request takes one hop from Ray Serve's proxy to the engine, nothing but
replicas needs a node, and vLLM's own HTTP handlers speak OpenAI. `ray.serve.llm` and vLLM are imported in the replica
only: on the head, building the application takes no time and no memory for them.
"""

import asyncio
import logging
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, Final

import ray
from prometheus_client import REGISTRY
from pydantic import ValidationError
from ray import serve
from ray.exceptions import RayError
from ray.serve._private.constants import SERVE_CONTROLLER_NAME, SERVE_NAMESPACE

from llmservice_worker import engine_log, liveness, output, sources
from llmservice_worker.access import AccessLog, lines
from llmservice_worker.adapters.adapters import Adapters
from llmservice_worker.adapters.engine import answer_with_public_names
from llmservice_worker.adapters.setup import adapters_of, tried_in_time, user_config
from llmservice_worker.args import UserConfig, WorkerArgs
from llmservice_worker.asgi import App, Receive, Scope, Send, reply_json
from llmservice_worker.autoscaling import TAKEN
from llmservice_worker.causes import StartFailed, root_cause
from llmservice_worker.decisions import last_decision
from llmservice_worker.engine_life import EngineLife
from llmservice_worker.errors import LOST, error_body
from llmservice_worker.front import Served, front
from llmservice_worker.leaving import TellsLeaving
from llmservice_worker.llm_config import (
    deployment_options,
    engine_environment,
    llm_config,
    one_process,
)
from llmservice_worker.metrics import EngineMetrics, Metrics
from llmservice_worker.readiness import warm_up
from llmservice_worker.requests.fields import Limits
from llmservice_worker.routes import PATHS
from llmservice_worker.side import PROXY, SidePort
from llmservice_worker.tasks.app import PATHS as TASK_PATHS
from llmservice_worker.tasks.app import PREFIX as TASKS
from llmservice_worker.tasks.app import TaskApp
from llmservice_worker.usage.metered import at_engine
from llmservice_worker.usage.metering import metering

_log = logging.getLogger(__name__)

_WATCH_S: Final = 0.2
_CONTROLLER_S: Final = 1.0
_STARTS: Final = Path("/tmp/llmservice-engine-starts")
_LAST_WORDS_S: Final = 1.0
"""How long streams of a dead engine may send their error event before its client or the replica's process ends."""


def build(args: dict[str, Any]) -> serve.Application:
    """The application for `args` (WorkerArgs as JSON); raises StartFailed where a cheap check says it cannot start."""
    try:
        worker = WorkerArgs.model_validate(args)
    except ValidationError as error:
        first = error.errors()[0]
        raise StartFailed(f"worker argument {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    wrong = sources.problem(worker.source, worker.named_source, worker.pickled_weights) if worker.is_mounted else None
    if wrong is not None:
        raise StartFailed(wrong)
    deployment = serve.deployment(serve.ingress()(EngineReplica)).options(**deployment_options(worker))
    return deployment.bind(worker.model_dump(mode="json"))


class EngineReplica:
    """One vLLM engine; started and warm when its constructor and its HTTP app are there."""

    async def __init__(self, args: dict[str, Any]) -> None:  # type: ignore[misc]  # Ray Serve awaits it
        self._args = WorkerArgs.model_validate(args)
        self._tasks: list[asyncio.Task[None]] = []
        self._life = EngineLife(self._restart, time.monotonic)
        self._is_up = False
        self._taken = 0
        self._config = UserConfig()
        self._task_app: TaskApp | None = None
        self._controller = ray.get_actor(SERVE_CONTROLLER_NAME, namespace=SERVE_NAMESPACE)
        self._figures = EngineMetrics(REGISTRY, _STARTS)
        self._told: dict[str, Callable[[], Any]] = {
            "engine": self._life.report,
            "start": lambda: self._figures.seconds,
            "scaling": self._last_decision,
        }
        self._is_warm = False
        self._side = SidePort(self._told, REGISTRY, is_ready=lambda: self._is_warm and self._life.is_ready, proxy=PROXY)
        await self._side.start()
        self._figures.starts()
        self._metering = metering(self._args, os.environ, REGISTRY)
        if self._metering is not None:
            self._metering.start()
        kept = Path(tempfile.mkdtemp(prefix="llmservice-")) / "engine.jsonl"
        os.environ.update({engine_log.PLACE: str(kept), **engine_environment(self._args)})
        started = time.monotonic()
        try:
            self._server = await _started_server(self._args)
        except Exception as error:  # noqa: BLE001 - whatever it is, its root cause is said in one line
            _log.exception("the engine did not start")
            names = {self._args.source: self._args.named_source}
            raise StartFailed(root_cause(error, engine_log.failures(kept), names)) from None
        self._figures.took("load", time.monotonic() - started)
        _log.info("engine started in %.1f s", time.monotonic() - started)
        self._adapters = self._loadable_adapters() if self._args.adapters else None

    async def __serve_build_asgi_app__(self) -> App:
        """vLLM's HTTP app behind our ingress, after real generations through it (called once by Ray Serve)."""
        self._engine_app: App = await self._built_app()
        served = self._served()
        app = front(TellsLeaving(at_engine(self._ask_engine)), served, self._task_apps, self._is_away)
        took = await warm_up(app, self._args.model_id, self._args.tasks)
        self._figures.took("warm_up", sum(took))
        self._is_warm = True
        _log.info("engine warm: first requests took %s s", ", ".join(f"{seconds:.1f}" for seconds in took))
        self._tasks = [asyncio.create_task(self._watch_engine()), asyncio.create_task(liveness.end_when_stalled())]
        heard = [lines(output.opened()), Metrics(REGISTRY, PATHS | TASK_PATHS).heard]
        if self._metering is None:
            return AccessLog(app, heard, time.monotonic)
        # Usage first: what a log or a metric fails at costs nobody's event.
        return self._metering.around(AccessLog(app, [self._metering.heard, *heard], time.monotonic))

    def _served(self) -> Served:
        config = self._client.model_config
        adapters = self._adapters
        return Served(
            names=(self._args.model_id, *self._args.aliases),
            tasks=self._args.tasks,
            limits=Limits(config.get_vocab_size(), config.max_model_len),
            created=int(time.time()),
            media_hosts=self._args.media_hosts,
            adapter_names=dict if adapters is None else adapters.names,
            ensure=None if adapters is None else adapters.ensure,
            max_requests=lambda: self._config.max_requests,
        )

    def _task_apps(self, app: App) -> dict[str, App]:
        if "generate" not in self._args.tasks:
            return {}
        self._task_app = TaskApp(app, self._args.model_id, self._config.templates)
        return {TASKS: self._task_app}

    async def reconfigure(self, value: dict[str, Any]) -> None:
        """Take over UserConfig, once started and at each change; no fault of an adapter fails it."""
        config = user_config(value)
        if config is None:
            return
        self._config = config
        if self._task_app is not None:
            self._task_app.replace_templates(config.templates)
        if self._adapters is None:
            return
        await self._adapters.take_over(config)
        if not self._is_up:
            self._is_up = True
            await tried_in_time(self._adapters)

    def _loadable_adapters(self) -> Adapters:
        from vllm.lora.request import LoRARequest

        adapters = adapters_of(self._args, lambda: self._server.engine, LoRARequest, os.environ)
        self._told["adapters"] = adapters.state
        self._figures.watch_adapters(adapters.state)
        return adapters

    async def __del__(self) -> None:
        """Called by Ray Serve when the replica has no request any more and is to go: its usage is sent first."""
        if self._metering is not None:
            await self._metering.stop()

    async def check_health(self) -> None:
        """Fails while the engine is away; Ray Serve replaces a replica whose engine does not come back."""
        await self._life.check_health()

    @property
    def _client(self) -> Any:
        """vLLM's client of the present engine."""
        return self._server.engine._engine_client

    async def _built_app(self) -> App:
        """The HTTP app of the present engine, which answers to the aliases too."""
        models = self._server.engine._oai_models
        models.base_model_paths += [
            models.base_model_paths[0].__class__(name=alias, model_path=self._args.source)
            for alias in self._args.aliases
        ]
        answer_with_public_names(models)
        if self._metering is not None:
            self._metering.watch(self._client)
        app: App = await self._server.__serve_build_asgi_app__()
        return app

    async def _ask_engine(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._life.is_ready:
            return await reply_json(send, LOST, error_body(LOST))
        self._taken += scope["type"] == "http"
        return await self._engine_app(scope, receive, send)

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Asked by Ray Serve at each report: what the scaling rule reads beside the number of requests."""
        return {TAKEN: float(self._taken)}

    async def _last_decision(self) -> dict[str, Any] | None:
        """Of the scaling rule; None where it made none, or the controller does not say it."""
        try:
            return await asyncio.wait_for(self._controller.__ray_call__.remote(last_decision), _CONTROLLER_S)
        except (TimeoutError, RayError) as error:
            _log.warning("Ray Serve's controller does not say its last decision: %s", type(error).__name__)
            return None

    def _is_away(self) -> bool:
        return not self._life.is_ready or bool(self._client.errored)

    async def _watch_engine(self) -> None:
        """Start the engine again when it ended; end the process where that does not help: Ray Serve makes another."""
        reason = await self._life.run(self._engine_ended)
        _log.error("ending this replica, Ray Serve starts another: %s", reason)
        await asyncio.sleep(_LAST_WORDS_S)
        os._exit(1)

    async def _engine_ended(self) -> str:
        client, processes = self._client, _processes(self._client)
        in_sight = self._args.engine.pipeline_parallel_size == 1  # else Ray's workers compute, none of them our child
        used = (lambda: liveness.cpu_seconds(process.pid for process in processes)) if in_sight else None
        asking = asyncio.create_task(liveness.watch(client.is_sleeping, used, time.monotonic))
        while not client.errored and not asking.done():  # noqa: ASYNC110 - vLLM offers no event for it
            await asyncio.sleep(_WATCH_S)
        raised = asking.exception() if asking.done() else None
        if client.errored or raised is not None:
            asking.cancel()
            return liveness.ending([process.exitcode for process in processes], raised)
        return asking.result()

    async def _restart(self) -> None:
        """A new engine in this process; requests that the old one had get their error first."""
        old = self._client
        for process in _processes(old):
            process.kill()
        await asyncio.sleep(_LAST_WORDS_S)
        await asyncio.to_thread(old.shutdown, 0)
        self._figures.starts()
        self._server = await _started_server(self._args)
        self._engine_app = await self._built_app()
        await warm_up(self._engine_app, self._args.model_id, self._args.tasks)
        if self._adapters is not None:
            self._adapters.load_anew()
            await tried_in_time(self._adapters)


def _processes(client: Any) -> list[Any]:
    """The processes that vLLM's client started for its engine."""
    manager = client.engine_core.resources.engine_manager
    return list(getattr(manager, "processes", []))


async def _started_server(args: WorkerArgs) -> Any:
    """Ray Serve LLM's server, up; without its download tasks and telemetry actor, which load vLLM twice more."""
    with engine_log.serve_log_kept():
        import vllm.logger  # noqa: F401 - here, and not by one of the imports that follow
    from ray.serve.llm import LLMConfig
    from ray.serve.llm.deployment import LLMServer

    if args.accelerator is None:
        _inspect_models_here()
    _fork_engines()
    config = LLMConfig(**llm_config(args))
    config.get_or_create_callback().ctx.run_init_node = False
    server = LLMServer.sync_init(config)
    server.engine = _beside_the_loop(server._engine_cls, one_process(args))(config)
    await server.engine.start()
    return server


def _inspect_models_here() -> None:
    """vLLM looks at a model class in a process of its own to keep CUDA out of this one: no need on a CPU."""
    from vllm.model_executor.models import registry

    registry._run_in_subprocess = lambda look: look()


def _fork_engines() -> None:
    """Engine processes are forked from one that has vLLM loaded (not from this one, which has threads).

    The first costs what a fresh process costs; one after a death saves the imports. vLLM's setting knows no such way.
    """
    from vllm.v1.engine import utils

    preloaded = ["llmservice_worker.orphans", "vllm.v1.engine.core", "vllm.v1.executor.uniproc_executor"]
    multiprocessing.set_forkserver_preload(preloaded)
    forkserver.ensure_running()  # by the loop's thread, which lives as long as the replica
    utils.get_mp_context = lambda: multiprocessing.get_context("forkserver")


def _beside_the_loop(engine_class: Any, in_one_process: bool) -> Any:
    """Ray's engine, started in a thread: the replica answers meanwhile. A new class each time, as Ray Serve LLM's are.

    `in_one_process`: scheduler and model share one; on a CPU it takes two, which wait for each other busily.
    """

    class Engine(engine_class):  # type: ignore[misc]
        async def start(self) -> None:
            context = self.llm_config.get_or_create_callback().ctx
            self._prepared = await asyncio.to_thread(super()._prepare_engine_config, context)
            arguments, _, config = self._prepared
            if in_one_process:
                config.parallel_config.distributed_executor_backend = "uni"
            begin = super()._start_async_llm_engine
            self._begun = await asyncio.to_thread(begin, arguments, config, context.placement_group)
            await super().start()

        def _prepare_engine_config(self, _: Any) -> Any:
            return self._prepared

        def _start_async_llm_engine(self, *_: Any) -> Any:
            return self._begun

    return Engine
