from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llmservice_worker.adapters.checks import Fault
from llmservice_worker.adapters.engine import EngineLora, answer_with_public_names, public_name
from llmservice_worker.adapters.shelf import ENGINE_AWAY

HERE = Path("/cache/adapters/x")


class Client:
    """AsyncLLM, as far as adapters go."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.errored = False
        self.calls: list[tuple[str, Any]] = []
        self.output_processor = SimpleNamespace(request_states={})

    async def add_lora(self, request: dict[str, Any]) -> bool:
        self.calls.append(("add", request["lora_int_id"]))
        if self.error is not None:
            raise self.error
        return True

    async def remove_lora(self, number: int) -> bool:
        self.calls.append(("remove", number))
        return True


def lora(client: Client) -> tuple[EngineLora, Any]:
    models = SimpleNamespace(lora_requests={})
    return EngineLora(lambda: models, lambda: client, dict), models


async def test_each_version_has_a_name_and_number_of_its_own_in_the_engine() -> None:
    engine, models = lora(Client())
    first, second = await engine.load("a", HERE), await engine.load("a", HERE)
    assert (first, second) == ("a@1", "a@2")
    assert models.lora_requests == {"a": {"lora_name": "a@2", "lora_int_id": 2, "lora_path": str(HERE)}}
    engine.withdraw("a")
    engine.withdraw("a")
    assert models.lora_requests == {}


async def test_what_the_engine_refuses_is_taken_back_and_said_without_our_path() -> None:
    client = Client(ValueError(f"Call to add_lora method failed: While loading {HERE}, expected modules {{'q'}}"))
    engine, models = lora(client)
    with pytest.raises(Fault) as refused:
        await engine.load("a", HERE)
    assert refused.value.reason == "EngineRefused"
    assert refused.value.message == ("the engine does not load it: While loading the adapter, expected modules {'q'}")
    assert (client.calls, models.lora_requests) == ([("add", 1), ("remove", 1)], {})


async def test_an_engine_that_is_away_is_no_fault_of_the_adapter() -> None:
    client = Client(RuntimeError("EngineCore encountered an issue"))
    client.errored = True
    with pytest.raises(Fault) as away:
        await lora(client)[0].load("a", HERE)
    assert away.value.reason == ENGINE_AWAY


async def test_a_version_is_used_while_a_request_has_it() -> None:
    client = Client()
    engine, _ = lora(client)
    handle = await engine.load("a", HERE)
    client.output_processor.request_states["r"] = SimpleNamespace(lora_name=None)
    assert not engine.is_used(handle)
    client.output_processor.request_states["s"] = SimpleNamespace(lora_name=handle)
    assert engine.is_used(handle)
    await engine.forget(handle)
    assert client.calls[-1] == ("remove", 1)


def test_answers_name_an_adapter_as_clients_do() -> None:
    models = SimpleNamespace(model_name=lambda request=None: "base" if request is None else request.lora_name)
    answer_with_public_names(models)
    assert (models.model_name(), models.model_name(SimpleNamespace(lora_name="m:a@12"))) == ("base", "m:a")
    assert public_name("a@b@3") == "a@b"
