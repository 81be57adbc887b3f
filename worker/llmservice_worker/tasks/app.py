"""The ASGI app of /v1/tasks/…: a typed request in, the engine asked in this process, a typed answer out."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final

from llmservice_worker.args import TEMPLATE_FIELDS
from llmservice_worker.asgi import App, Receive, Scope, Send, reply_json
from llmservice_worker.errors import error_body
from llmservice_worker.inprocess import Disconnected
from llmservice_worker.tasks.classification import classify
from llmservice_worker.tasks.engine import Engine, Refused, passed_on
from llmservice_worker.tasks.requests import Classify, Invalid, TaskRequest, WritingRequest, parsed
from llmservice_worker.tasks.templates import DEFAULTS, TemplateError, check, render
from llmservice_worker.tasks.writing import WritingTask

_log = logging.getLogger(__name__)

PREFIX: Final = "/v1/tasks/"
_LONGEST_BODY: Final = 8 * 2**20


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
        """Serve one HTTP request."""
        task = scope["path"].removeprefix(PREFIX)
        if task not in TEMPLATE_FIELDS:
            message = f"There is no task '{task[:64]}': use {PREFIX}{{{','.join(TEMPLATE_FIELDS)}}}."
            return await reply_json(send, 404, error_body(404, message, code="unknown_url"))
        if scope["method"] != "POST":
            message = f"Not allowed to {scope['method']} on {scope['path']}: use POST."
            return await reply_json(send, 405, error_body(405, message), [(b"allow", b"POST")])
        body = await _body(receive)
        if body is None:
            message = f"The body is larger than {_LONGEST_BODY} bytes."
            return await reply_json(send, 413, error_body(413, message))
        try:
            request = parsed(task, body)
        except Invalid as invalid:
            return await reply_json(send, 400, invalid.body)
        async with _watched(receive) as gone:
            return await self._do(task, request, Engine(self._app, passed_on(scope["headers"]), gone), send)

    async def _do(self, task: str, request: TaskRequest, engine: Engine, send: Send) -> None:
        model, template = request.model or self._model, self._templates[task]
        try:
            if isinstance(request, Classify):
                label = await classify(engine, model, template, request)
                return await reply_json(send, 200, label.model_dump_json().encode())
            assert isinstance(request, WritingRequest)
            field = TEMPLATE_FIELDS[task][0]
            writing = WritingTask(task, field, model, render(task, template, request.values()), request)
            if request.stream:
                return await writing.streamed(engine, send)
            answer = await writing.whole(engine)
            return await reply_json(send, 200, answer.model_dump_json().encode())
        except Refused as refused:
            return await reply_json(send, refused.status, refused.body)
        except Disconnected:
            return await reply_json(send, 408, error_body(408))


def _is_usable(task: str, template: str) -> bool:
    try:
        check(task, template)
    except TemplateError as error:
        _log.error("a task template is not used: %s", error)
        return False
    return True


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None where it is too long."""
    body = b""
    while True:
        message = await receive()
        piece: bytes = message.get("body", b"")
        body += piece
        if len(body) > _LONGEST_BODY:
            return None
        if not message.get("more_body", False):
            return body


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
