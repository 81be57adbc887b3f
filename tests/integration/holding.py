"""Requests that are held: who asks, and the service that they wait for."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from tests.eventually import eventually
from tests.integration.gateway_stack import Answer, Stack
from tests.unit.gateway.builders import llmservice, secret_key

KEY, LIST = secret_key(1), secret_key(2)
CHAT = "/v1/chat/completions"
HI: Any = [{"role": "user", "content": "hi"}]


@dataclass
class Asking:
    """Requests under way, and in which order the model saw them."""

    stack: Stack
    tasks: list["asyncio.Task[Answer]"] = field(default_factory=list)

    def ask(self, count: int, model: str = "m", path: str = CHAT, key: str = KEY, **body: Any) -> None:
        """Sends requests, numbered in their `user`."""
        for _ in range(count):
            said = {"model": model, "messages": HI, "user": str(len(self.tasks))} | body
            self.tasks.append(asyncio.create_task(self.stack.post(path, said, key)))

    async def statuses(self) -> list[int]:
        """Of all answers."""
        return [answer.status for answer in await asyncio.gather(*self.tasks)]

    @property
    def order(self) -> list[int]:
        """In which the model saw them."""
        return [int(json.loads(body)["user"]) for _, _, body in self.stack.upstream.seen]


def cold(**fields: Any) -> Any:
    """An LLMService that sleeps: nobody answers."""
    wanted: dict[str, Any] = {"hold": (200, 60), "sleeps": True, "replicas": 0}
    return llmservice("m", **(wanted | fields))


def up(stack: Stack, **fields: Any) -> Any:
    """The same with a replica."""
    wanted: dict[str, Any] = {"address": stack.upstream.address, "replicas": 1}
    return cold(**(wanted | fields))


async def held(stack: Stack, count: int) -> None:
    """Waits until so many are held."""
    await eventually(lambda: stack.figure("llmservice_gateway_held_requests") == count)


async def told(stack: Stack, count: int) -> None:
    """Waits until the cluster was told that so many are held."""
    await eventually(lambda: numbers(stack)[-1:] == [count])


def numbers(stack: Stack) -> list[int]:
    """Held requests, as the cluster was told one time after the other."""
    return [status["wakes"][stack.settings.name]["requests"] for _, status in stack.wakes.seen]


async def one_after_the_other(asking: Asking, count: int) -> None:
    """Each is held before the next is sent, so that there is an order."""
    for number in range(count):
        asking.ask(1)
        await held(asking.stack, number + 1)
