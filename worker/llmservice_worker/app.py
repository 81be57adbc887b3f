"""The Serve application: one deployment whose replicas are vLLM engines with their own HTTP app. Only here is Ray.

The engine's replica is the ingress too: a request takes one hop from Ray Serve's proxy to the engine, nothing but
replicas needs a node, and vLLM's own HTTP handlers speak OpenAI. `ray.serve.llm` and vLLM are imported in the replica
only: on the head, building the application takes no time and no memory for them.
"""

import asyncio
import logging
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from prometheus_client import REGISTRY
from pydantic import ValidationError
from ray import serve

from llmservice_worker import engine_log, sources
from llmservice_worker.args import WorkerArgs
from llmservice_worker.asgi import App
from llmservice_worker.causes import StartFailed, root_cause
from llmservice_worker.ingress import Ingress
from llmservice_worker.llm_config import deployment_options, engine_environment, llm_config, one_process
from llmservice_worker.readiness import warm_up
from llmservice_worker.shaping import ErrorShaping
from llmservice_worker.side import SidePort

_log = logging.getLogger("ray.serve")

_WATCH_S: Final = 0.5
_LAST_WORDS_S: Final = 1.0
"""How long streams of a dead engine may send their error event before the replica's process ends."""


def build(args: dict[str, Any]) -> serve.Application:
    """The application for `args` (WorkerArgs as JSON); raises StartFailed where a cheap check says it cannot start."""
    try:
        worker = WorkerArgs.model_validate(args)
    except ValidationError as error:
        first = error.errors()[0]
        raise StartFailed(f"worker argument {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    wrong = sources.problem(worker.source, worker.named_source)
    if wrong is not None:
        raise StartFailed(wrong)
    deployment = serve.deployment(serve.ingress()(EngineReplica)).options(**deployment_options(worker))
    return deployment.bind(worker.model_dump(mode="json"))


class EngineReplica:
    """One vLLM engine; started and warm when its constructor and its HTTP app are there."""

    async def __init__(self, args: dict[str, Any]) -> None:  # type: ignore[misc]  # Ray Serve awaits it
        self._args = WorkerArgs.model_validate(args)
        self._watch: asyncio.Task[None] | None = None
        self._told: dict[str, Callable[[], Any]] = {}
        self._side = SidePort(self._told, REGISTRY)
        await self._side.start()
        kept = Path(tempfile.mkdtemp(prefix="llmservice-")) / "engine.jsonl"
        os.environ.update({engine_log.PLACE: str(kept), **engine_environment(self._args)})
        started = time.monotonic()
        try:
            self._server = await _started_server(self._args)
        except Exception as error:  # noqa: BLE001 - whatever it is, its root cause is said in one line
            _log.exception("the engine did not start")
            names = {self._args.source: self._args.named_source}
            raise StartFailed(root_cause(error, engine_log.failures(kept), names)) from None
        _log.info("engine started in %.1f s", time.monotonic() - started)

    async def __serve_build_asgi_app__(self) -> App:
        """vLLM's HTTP app behind our ingress, after real generations through it (called once by Ray Serve)."""
        engine = self._server.engine
        models = engine._oai_models
        models.base_model_paths += [
            models.base_model_paths[0].__class__(name=alias, model_path=self._args.source)
            for alias in self._args.aliases
        ]
        names = [self._args.model_id, *self._args.aliases]
        length = engine._engine_client.model_config.max_model_len
        inner = await self._server.__serve_build_asgi_app__()
        app = ErrorShaping(Ingress(inner, names, int(time.time()), length), unavailable=self._is_dead)
        took = await warm_up(app, self._args.model_id)
        _log.info("engine warm: first requests took %s s", ", ".join(f"{seconds:.1f}" for seconds in took))
        self._watch = asyncio.create_task(self._end_with_engine())
        return app

    async def check_health(self) -> None:
        """Raises where the engine is dead; Ray Serve then replaces the replica."""
        await self._server.check_health()

    def _is_dead(self) -> bool:
        return bool(self._server.engine._engine_client.errored)

    async def _end_with_engine(self) -> None:
        """End the process soon after its engine died: routers drop a dead actor at once, a sick one after seconds."""
        while not self._is_dead():  # noqa: ASYNC110 - vLLM offers no event for it
            await asyncio.sleep(_WATCH_S)
        _log.error("the engine died: ending this replica, Ray Serve starts another")
        await asyncio.sleep(_LAST_WORDS_S)
        os._exit(1)


async def _started_server(args: WorkerArgs) -> Any:
    """Ray Serve LLM's server, up; without its download tasks and telemetry actor, which load vLLM twice more."""
    from ray.serve.llm import LLMConfig
    from ray.serve.llm.deployment import LLMServer

    if args.accelerator is None:
        _inspect_models_here()
    config = LLMConfig(**llm_config(args))
    config.get_or_create_callback().ctx.run_init_node = False
    server = LLMServer.sync_init(config)
    engine_class = server._engine_cls
    server.engine = (_in_one_process(engine_class) if one_process(args) else engine_class)(config)
    await server.engine.start()
    return server


def _inspect_models_here() -> None:
    """vLLM looks at a model class in a process of its own to keep CUDA out of this one: no need on a CPU."""
    from vllm.model_executor.models import registry

    registry._run_in_subprocess = lambda look: look()


def _in_one_process(engine_class: Any) -> Any:
    """Ray's engine with scheduler and model in one process: on a CPU it takes two, which wait for each other busily."""

    class InOneProcess(engine_class):  # type: ignore[misc]
        def _prepare_engine_config(self, context: Any) -> Any:
            prepared = super()._prepare_engine_config(context)
            prepared[2].parallel_config.distributed_executor_backend = "uni"
            return prepared

    return InOneProcess
