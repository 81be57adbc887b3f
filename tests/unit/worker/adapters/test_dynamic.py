import asyncio
import threading

import pytest

from llmservice_worker.adapters.checks import Fault
from llmservice_worker.adapters.dynamic import REMEMBERED_S, adapter_name
from llmservice_worker.adapters.shelf import ENGINE_AWAY
from llmservice_worker.errors import Refused
from tests.eventually import eventually
from tests.unit.worker.adapters.world import FOLDER, World


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("m:a", "a"),
        ("gpt:A_b-1.2", "A_b-1.2"),
        ("org/m:1:a", "a"),
        *(
            (model, None)
            for model in ("m", "m:", ":a", "x:a", "m:../a", "m:a/b", "m:.", "m:..", "m:.a", "m:-a", "m:a\n")
        ),
        ("m:" + "a" * 128, "a" * 128),
        ("m:" + "a" * 129, None),
        ("m:a%2fb", None),
        ("m:a:b", None),
    ],
)
def test_a_name_is_one_plain_segment(model: str, name: str | None) -> None:
    assert adapter_name(model, ("m", "gpt", "org/m:1")) == name


async def test_the_model_itself_needs_nothing() -> None:
    world = World()
    await world.adapters.ensure("m")
    await world.adapters.ensure("gpt")
    assert world.sources.brought == []


async def test_without_a_folder_there_are_none() -> None:
    assert await World().refused("m:a") == (404, "model_not_found")


async def test_requests_that_come_together_load_it_once() -> None:
    world = World()
    await world.spec(FOLDER)
    await asyncio.gather(*(world.adapters.ensure("m:a") for _ in range(20)))
    await world.adapters.ensure("m:a")
    assert world.sources.brought == [f"{FOLDER}/a"]
    assert world.adapters.names() == {"m:a": "m"}
    assert world.adapters.state() == []


async def test_a_client_that_leaves_does_not_end_it_for_the_others() -> None:
    world = World()
    await world.spec(FOLDER)
    world.sources.gate.clear()
    first, second = (asyncio.create_task(world.adapters.ensure("m:a")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    world.sources.gate.set()
    await second
    assert set(world.engine.names) == {"m:a"}


@pytest.mark.parametrize("model", ["m:../a", "m:a/b", "other:a", "nothing"])
async def test_what_is_no_adapters_name_is_not_looked_for(model: str) -> None:
    world = World()
    await world.spec(FOLDER)
    assert await world.refused(model) == (404, "model_not_found")
    assert world.sources.brought == []


@pytest.mark.parametrize(
    ("reason", "answer"),
    [
        ("SourceNotFound", (404, "model_not_found")),
        ("SourceUnreachable", (503, "overloaded")),
        ("DiskFull", (503, "overloaded")),
        ("CredentialsRefused", (503, "overloaded")),
        ("Corrupt", (400, "adapter_unusable")),
        ("NotSupported", (400, "adapter_unusable")),
    ],
)
async def test_a_fault_is_said_remembered_for_a_while_and_then_tried_again(
    reason: str, answer: tuple[int, str | None]
) -> None:
    world = World()
    await world.spec(FOLDER)
    world.sources.faults[f"{FOLDER}/a"] = Fault(reason, "in the source /models/x")
    for _ in range(3):
        assert await world.refused("m:a") == answer
    assert len(world.sources.brought) == 1
    world.clock.now += REMEMBERED_S
    assert await world.refused("m:a") == answer
    assert len(world.sources.brought) == 2
    world.clock.now += REMEMBERED_S
    world.sources.faults.clear()
    await world.adapters.ensure("m:a")


async def test_the_least_recently_used_goes_and_comes_back() -> None:
    world = World()
    await world.spec(FOLDER, named="x")
    for model in ("m:a", "m:b", "m:a", "m:c"):
        await world.adapters.ensure(model)
    assert set(world.engine.names) == {"named", "m:a", "m:c"}
    await world.adapters.ensure("m:b")
    assert set(world.engine.names) == {"named", "m:c", "m:b"}


async def test_one_in_use_is_never_the_one_that_goes() -> None:
    world = World()
    await world.spec(FOLDER)
    await world.adapters.ensure("m:a")
    await world.adapters.ensure("m:b")
    world.engine.used = {"m:a@1"}
    await world.adapters.ensure("m:c")
    assert set(world.engine.names) == {"m:a", "m:c"}
    world.engine.used = set(world.engine.names.values())
    here = set(world.sources.here)
    assert await world.refused("m:d") == (503, "overloaded")
    assert set(world.engine.names) == {"m:a", "m:c"}
    assert (world.sources.here, f"{FOLDER}/d" in world.sources.brought) == (here, False)
    world.engine.used.clear()
    await world.adapters.ensure("m:d")


async def test_one_whose_place_is_taken_while_it_is_fetched_leaves_nothing() -> None:
    world = World()
    await world.spec(FOLDER)
    await world.adapters.ensure("m:a")
    world.engine.gate.clear()
    asking = [asyncio.create_task(world.adapters.ensure(model)) for model in ("m:b", "m:c")]
    await eventually(lambda: len(world.sources.here) >= 3)
    world.engine.used = {"m:a@1", "m:b@2", "m:c@2"}
    world.engine.gate.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert [answer.status for answer in answers if isinstance(answer, Refused)] == [503]
    assert (len(world.engine.names), len(world.sources.here)) == (2, 2)


async def test_a_broken_one_drives_none_out() -> None:
    world = World()
    await world.spec(FOLDER)
    await world.adapters.ensure("m:a")
    await world.adapters.ensure("m:b")
    world.sources.faults[f"{FOLDER}/bad"] = Fault("Corrupt", "bad")
    assert await world.refused("m:bad") == (400, "adapter_unusable")
    assert set(world.engine.names) == {"m:a", "m:b"}


async def test_another_folder_has_other_adapters() -> None:
    world = World()
    await world.spec(FOLDER)
    await world.adapters.ensure("m:a")
    await world.spec("pvc://models/other")
    assert world.engine.names == {}
    await world.adapters.ensure("m:a")
    assert world.sources.brought[-1] == "pvc://models/other/a"
    await world.spec()
    assert await world.refused("m:a") == (404, "model_not_found")


async def test_a_folder_that_changes_while_one_is_fetched_leaves_nothing_of_the_old() -> None:
    world = World()
    await world.spec(FOLDER)
    world.sources.gate.clear()
    asking = asyncio.create_task(world.adapters.ensure("m:a"))
    await asyncio.sleep(0)
    await world.spec("pvc://models/other")
    world.sources.gate.set()
    with pytest.raises(Refused) as lost:
        await asking
    assert lost.value.status == 502
    assert world.engine.names == {}


async def test_the_specs_adapter_wins_a_name() -> None:
    world = World()
    await world.spec(FOLDER)
    await world.adapters.ensure("m:a")
    await world.spec(FOLDER, **{"m:a": "x"})
    assert world.engine.names == {"m:a": "m:a@2"}
    await world.spec(FOLDER)
    assert world.engine.names == {}


async def test_one_that_is_on_its_way_never_takes_the_name_of_the_specs() -> None:
    world = World()
    await world.spec(FOLDER)
    gate = world.sources.gates[f"{FOLDER}/a"] = threading.Event()
    asking = asyncio.create_task(world.refused("m:a"))
    await eventually(lambda: bool(world.sources.brought))
    await world.spec(FOLDER, **{"m:a": "x"})
    gate.set()
    assert await asking == (502, None)
    await eventually(lambda: len(world.sources.here) <= 1)
    assert world.engine.names == {"m:a": "m:a@1"}
    await world.adapters.ensure("m:a")


async def test_what_an_engine_that_is_away_says_is_not_the_adapters_fault() -> None:
    world = World()
    await world.spec(FOLDER)
    world.engine.faults["m:a"] = Fault(ENGINE_AWAY, "dead")
    assert await world.refused("m:a") == (502, None)
    world.engine.faults.clear()
    await world.adapters.ensure("m:a")


async def test_a_new_engine_knows_no_faults_and_waits_for_no_load_into_the_old() -> None:
    world = World()
    await world.spec(FOLDER)
    world.engine.faults["m:a"] = Fault("EngineRefused", "no")
    assert await world.refused("m:a") == (400, "adapter_unusable")
    world.engine.faults.clear()
    world.engine.gate.clear()
    stuck = asyncio.create_task(world.refused("m:b"))
    await eventually(lambda: bool(world.sources.here))
    world.adapters.load_anew()
    assert await stuck == (502, None)
    world.engine.gate.set()
    await world.adapters.ensure("m:a")
    await world.adapters.ensure("m:b")
