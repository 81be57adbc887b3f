"""The ASGI app of /v1/tasks/…: a typed request in, the engine asked in this process, a typed answer out."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final

from llmservice_worker import body as bodies
from llmservice_worker.access import note_model
from llmservice_worker.args import TEMPLATE_FIELDS
from llmservice_worker.asgi import App, Receive, Scope, Send, reply_json
from llmservice_worker.errors import Refused, check_method
from llmservice_worker.tasks.answers import Classification, CodeAnswer, Writing
from llmservice_worker.tasks.classification import classify
from llmservice_worker.tasks.engine import Engine, passed_on
from llmservice_worker.tasks.requests import Classify, TaskRequest, WritingRequest, parsed
from llmservice_worker.tasks.templates import DEFAULTS, TemplateError, check, render
from llmservice_worker.tasks.writing import WritingTask

_log = logging.getLogger(__name__)

PREFIX: Final = "/v1/tasks/"
PATHS: Final = frozenset(PREFIX + task for task in TEMPLATE_FIELDS)


class TaskApp:
    """Serves PREFIX + task. `app` is the engine's (chat completions, completions, /tokenize); `model` the default."""

    def __init__(self, app: App, model: str, templates: Mapping[str, str]) -> None:
        self._app = app
        self._model = model
        self._templates: Mapping[str, str] = DEFAULTS
        self.replace_templates(templates)

    def replace_templates(self, templates: Mapping[str, str]) -> None:
        """Use `templates` (task → template) from the next request on, ours for the other tasks.

        One that cannot be used was let in past the API's own check: ours stands in for it, and the log says why.
        """
        self._templates = {**DEFAULTS, **{task: text for task, text in templates.items() if _is_usable(task, text)}}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request; raises Refused and ClientGone, as what stands around it answers them."""
        task = scope["path"].removeprefix(PREFIX)
        if task not in TEMPLATE_FIELDS:
            message = f"There is no task '{task[:64]}': use {PREFIX}{{{','.join(TEMPLATE_FIELDS)}}}."
            raise Refused(404, message, code="unknown_url")
        check_method(scope, "POST")
        bodies.check_headers(scope["headers"], b"application/json", bodies.JSON_BYTES)
        request = parsed(task, await bodies.read(receive, bodies.JSON_BYTES), self._model)
        async with _watched(receive) as gone:
            noted = partial(note_model, scope, request.model)
            engine = Engine(self._app, passed_on(scope["headers"]), gone, noted)
            answer = await self._answer(task, request, engine, send)
        if answer is not None:
            await reply_json(send, 200, answer.model_dump_json().encode())

    async def _answer(
        self, task: str, request: TaskRequest, engine: Engine, send: Send
    ) -> Classification | Writing | CodeAnswer | None:
        """The answer; None where it went to `send` as a stream."""
        template = self._templates[task]
        if isinstance(request, Classify):
            return await classify(engine, template, request)
        assert isinstance(request, WritingRequest)
        writing = WritingTask(task, render(task, template, request.values()), request)
        return await (writing.streamed(engine, send) if request.stream else writing.whole(engine))


def _is_usable(task: str, template: str) -> bool:
    try:
        check(task, template)
    except TemplateError as error:
        _log.error("a task template is not used: %s", error)
        return False
    return True


@asynccontextmanager
async def _watched(receive: Receive) -> AsyncIterator[asyncio.Event]:
    """An event that is set when the client disconnects, while the body of the `with` runs."""
    gone = asyncio.Event()

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()

    watching = asyncio.create_task(watch())
    try:
        yield gone
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
