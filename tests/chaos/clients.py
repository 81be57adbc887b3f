"""Applications: OpenAI's own client, which asks again as it does; some leave before their answer is whole."""

import asyncio
import random
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import openai

from tests.chaos.engine import TOKEN_S

Kind = Literal["stream", "whole", "embedding"]
KINDS: Final[Sequence[Kind]] = ("stream", "whole", "embedding")
_SHARES: Final = (9, 9, 2)
_RETRIES: Final = 20
_TIMEOUT_S: Final = 60.0
_MOST_WORDS: Final = 40
_MOST_TOKENS: Final = 24


@dataclass(frozen=True)
class Plan:
    """One request. `leaves`: after which part of its answer the client goes; None: it stays."""

    kind: Kind
    words: int
    tokens: int
    leaves: float | None


@dataclass
class Told:
    """What came of the requests. `billed`: tokens of whole answers by request id, as the answers say it themselves."""

    answered: int = 0
    left: int = 0
    broken: int = 0
    billed: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def ended(self) -> int:
        """Requests that are over, whatever came of them."""
        return self.answered + self.left + self.broken


def plans(chance: random.Random, count: int, leaving: int) -> list[Plan]:
    """So many requests, of which `leaving` clients leave, at random points; only generations take long enough."""
    gone = set(chance.sample(range(count), leaving))
    return [_plan(chance, each in gone) for each in range(count)]


def _plan(chance: random.Random, leaves: bool) -> Plan:
    (kind,) = chance.choices(KINDS[:2] if leaves else KINDS, _SHARES[:2] if leaves else _SHARES)
    words, tokens = chance.randint(1, _MOST_WORDS), chance.randint(1, _MOST_TOKENS)
    return Plan(kind, words, tokens, chance.random() if leaves else None)


class Clients:
    """Sends plans to gateways in turn, so many at once."""

    def __init__(self, urls: Sequence[str], key: str, model: str) -> None:
        self._urls = urls
        self._key = key
        self._model = model
        self.told = Told()

    async def run(self, given: Iterable[Plan], at_once: int) -> None:
        """Returns when all are answered, left or broken."""
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(self._client(url)) for url in self._urls]
            numbered = enumerate(given)

            async def ask() -> None:
                for number, plan in numbered:
                    await self._ask(clients[number % len(clients)], plan)

            async with asyncio.TaskGroup() as tasks:
                for _ in range(at_once):
                    tasks.create_task(ask())

    def _client(self, url: str) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=self._key, max_retries=_RETRIES, timeout=_TIMEOUT_S)

    async def _ask(self, client: openai.AsyncOpenAI, plan: Plan) -> None:
        try:
            stayed = await self._stayed(client, plan)
        except openai.APIConnectionError:
            self.told.broken += 1  # a stream whose gateway died, or one that found no gateway at all
            return
        if stayed:
            self.told.answered += 1
        else:
            self.told.left += 1

    async def _stayed(self, client: openai.AsyncOpenAI, plan: Plan) -> bool:
        """Whether the client was there to the end of its answer."""
        match plan.kind:
            case "stream":
                return await self._stream(client, plan)
            case "whole":
                return await self._whole(client, plan)
            case "embedding":
                await client.embeddings.create(model=self._model, input=_text(plan.words), encoding_format="float")
                return True

    async def _stream(self, client: openai.AsyncOpenAI, plan: Plan) -> bool:
        chat = self._chat(plan) | {"stream": True, "stream_options": {"include_usage": True}}
        read = 0
        async with await client.chat.completions.create(**chat) as answer:
            async for chunk in answer:
                if plan.leaves is not None and read >= int(plan.leaves * plan.tokens):
                    return False
                if chunk.usage is not None:
                    self._note(chunk.id, chunk.usage)
                read += len((chunk.choices[0].delta.content or "").split()) if chunk.choices else 0
        return True

    async def _whole(self, client: openai.AsyncOpenAI, plan: Plan) -> bool:
        asking = client.chat.completions.create(**self._chat(plan))
        try:
            async with asyncio.timeout(None if plan.leaves is None else plan.leaves * plan.tokens * TOKEN_S):
                answer = await asking
        except TimeoutError:
            return False
        self._note(answer.id, answer.usage)
        return True

    def _note(self, name: str, usage: Any) -> None:
        self.told.billed[name.removeprefix("chatcmpl-")] = usage.prompt_tokens, usage.completion_tokens

    def _chat(self, plan: Plan) -> dict[str, Any]:
        messages = [{"role": "user", "content": _text(plan.words)}]
        return {"model": self._model, "messages": messages, "max_tokens": plan.tokens}


def _text(words: int) -> str:
    return " ".join(["word"] * words)
