"""What stands before the engine's HTTP app, composed: errors shaped, routes listed, requests validated."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from llmservice_worker.admission import Admission
from llmservice_worker.args import Task, UserConfig
from llmservice_worker.asgi import App
from llmservice_worker.bounds import Clock, DistinctGrammars, IdempotencyKeys
from llmservice_worker.errors import LOST, Refused, unknown_model
from llmservice_worker.ingress import Ingress
from llmservice_worker.media import Media
from llmservice_worker.requests.fields import Limits
from llmservice_worker.shaping import ErrorShaping
from llmservice_worker.validation import Validation

Mounts = Callable[[App], Mapping[str, App]]
"""Apps by the prefix of their paths, made from the app that has all other routes."""


@dataclass(frozen=True)
class Served:
    """The model as clients know it; `names` and `adapter_names` are asked anew each time: adapters come and go."""

    names: Sequence[str]
    tasks: Sequence[Task]
    limits: Limits
    created: int
    """Seconds since 1970."""
    media_hosts: Sequence[str] = ()
    adapter_names: Callable[[], Mapping[str, str]] = dict
    """Adapter → the model that it is one of."""
    ensure: Callable[[str], Awaitable[None]] | None = None
    """Returns once a model of this name answers; raises Refused. None: only `names` do."""
    max_requests: Callable[[], int] = lambda: UserConfig().max_requests
    """How many may be under way at once, asked anew each time: the bound changes live."""

    def all_names(self) -> dict[str, str | None]:
        """Every name that answers now → the model that it is an adapter of."""
        return {**dict.fromkeys(self.names), **self.adapter_names()}

    async def found(self, model: str) -> None:
        """Returns once `model` answers; raises Refused."""
        if model in self.names:
            return
        if self.ensure is None:
            raise unknown_model(model)
        await self.ensure(model)


def front(
    engine: App,
    served: Served,
    mounts: Mounts = lambda _: {},
    unavailable: Callable[[], bool] = lambda: False,
    clock: Clock = time.monotonic,
) -> App:
    """The replica's HTTP app; while `unavailable()` every 5xx says that the engine is lost."""

    async def found(model: str) -> None:
        if unavailable():  # an adapter would be loaded into an engine that is not there
            raise Refused(LOST, "The engine is lost.", "model")
        await served.found(model)

    media, grammars, keys = Media(served.media_hosts), DistinctGrammars(clock), IdempotencyKeys(clock)
    validation = Validation(engine, found, served.limits, media, grammars, keys)

    def ingress(mounted: Mapping[str, App]) -> Ingress:
        context = served.limits.context
        return Ingress(engine, validation, served.all_names, served.tasks, served.created, context, mounted)

    admission = Admission(ingress(mounts(ingress({}))), served.max_requests)
    return ErrorShaping(admission, unavailable=unavailable)
