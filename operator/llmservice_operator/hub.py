"""What the public hub says of a model before anything of it is downloaded: its config.json, and what its weights weigh.

Asked without credentials, which the operator does not have, and only at the address that the installation names: to
ask where an LLMService says would let its author have the operator ask anything of any server that it can reach.
"""

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

import aiohttp
from yarl import URL

from llmservice_api.llmservice import ModelSpec
from llmservice_operator.memory import Shape, shape, shape_of

Json = dict[str, Any]

log = logging.getLogger("llmservice")
_PATIENCE_S: Final = 5.0
_AT_ONCE: Final = 4
_ANSWER_MAX: Final = 4 * 2**20
_REFUSED_S: Final = 300.0
_AWAY_S: Final = 60.0
_ALL: Final = ""


class Hub:
    """Asks for each model once. One that it will not tell of is asked for again after five minutes at the soonest; one
    that does not answer is not asked for anything for a minute, so that it holds up few. `url` None: never asks.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str | None, monotonic: Callable[[], float]) -> None:
        self._session = session
        self._url = url
        self._monotonic = monotonic
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._known: dict[str, Shape] = {}
        self._not_before: dict[str, float] = {}

    async def shape(self, model: ModelSpec) -> Shape | None:
        """The model's shape; None where it cannot be known here: another source, private, or no answer."""
        if self._url is None or not model.source.startswith("hf://") or model.endpoint not in (None, self._url):
            return None
        of = shape_of(model)
        if of in self._known:
            return self._known[of]
        async with self._turn:
            return await self._asked(self._url, model, of)

    async def _asked(self, url: str, model: ModelSpec, of: str) -> Shape | None:
        now = self._monotonic()
        if of in self._known or any(now < self._not_before.get(what, now) for what in (of, _ALL)):
            return self._known.get(of)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                self._known[of] = await self._read(url, model)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            is_away = isinstance(error, aiohttp.ClientConnectionError | TimeoutError)
            self._not_before[_ALL if is_away else of] = self._monotonic() + (_AWAY_S if is_away else _REFUSED_S)
            log.info("the memory of %s is not estimated: %s: %s", of, type(error).__name__, error)
        return self._known.get(of)

    async def _read(self, url: str, model: ModelSpec) -> Shape:
        repository, revision = model.source.removeprefix("hf://"), quote(model.revision or "main", safe="")
        listing = await self._object(f"{url}/api/models/{repository}/revision/{revision}?blobs=true")
        config = await self._object(f"{url}/{repository}/resolve/{revision}/config.json")
        return shape(config, weights(listing))

    async def _object(self, url: str) -> Json:
        text = b""
        async with self._session.get(URL(url, encoded=True), raise_for_status=True) as response:
            async for chunk in response.content.iter_chunked(65536):
                text += chunk
                if len(text) > _ANSWER_MAX:
                    raise ValueError(f"{url} is longer than {_ANSWER_MAX} bytes")
        try:
            found = json.loads(text)
        except RecursionError as error:
            raise ValueError(f"{url} is nested too deeply") from error
        if not isinstance(found, dict):
            raise ValueError(f"{url} is no JSON object")
        return found


def weights(listing: Json) -> int:
    """Bytes of the weights that would be loaded, by the hub's list of files. ValueError where there are none."""
    try:
        files = [(str(each.get("rfilename")), int(each.get("size") or 0)) for each in listing.get("siblings") or ()]
    except (AttributeError, TypeError, OverflowError) as error:
        raise ValueError(f"its list of files is none: {error!r}") from error
    files = [(name, size) for name, size in files if "/" not in name]
    for fits in (_is_shard, lambda name: name.endswith(".safetensors"), lambda name: name.endswith(".bin")):
        if total := sum(size for name, size in files if fits(name)):
            return total
    raise ValueError("its list of files names no weights")


def _is_shard(name: str) -> bool:
    return name.startswith("model") and name.endswith(".safetensors")
