import asyncio

import pytest

from llmservice_worker.adapters.checks import Fault
from llmservice_worker.adapters.dynamic import REMEMBERED_S, Unavailable, adapter_name
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


async def refused(world: World, model: str) -> tuple[int, str | None]:
    with pytest.raises(Unavailable) as raised:
        await world.adapters.ensure(model)
    return raised.value.status, raised.value.code


async def test_the_model_itself_needs_nothing() -> None:
    world = World()
    await world.adapters.ensure("m")
    await world.adapters.ensure("gpt")
    assert world.sources.brought == []


async def test_without_a_folder_there_are_none() -> None:
    assert await refused(World(), "m:a") == (404, "model_not_found")


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
    assert await refused(world, model) == (404, "model_not_found")
    assert world.sources.brought == []


@pytest.mark.parametrize(
    ("reason", "answer"),
    [
        ("SourceNotFound", (404, "model_not_found")),
        ("SourceUnreachable", (503, None)),
        ("DiskFull", (503, None)),
        ("CredentialsRefused", (503, None)),
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
        assert await refused(world, "m:a") == answer
    assert len(world.sources.brought) == 1
    world.clock.now += REMEMBERED_S
    assert await refused(world, "m:a") == answer
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
    assert await refused(world, "m:d") == (503, None)
    assert set(world.engine.names) == {"m:a", "m:c"}
    world.engine.used.clear()
    await world.adapters.ensure("m:d")


async def test_a_broken_one_drives_none_out() -> None:
    world = World()
    await world.spec(FOLDER)
    await world.adapters.ensure("m:a")
    await world.adapters.ensure("m:b")
    world.sources.faults[f"{FOLDER}/bad"] = Fault("Corrupt", "bad")
    assert await refused(world, "m:bad") == (400, "adapter_unusable")
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
    assert await refused(world, "m:a") == (404, "model_not_found")


async def test_a_folder_that_changes_while_one_is_fetched_leaves_nothing_of_the_old() -> None:
    world = World()
    await world.spec(FOLDER)
    world.sources.gate.clear()
    asking = asyncio.create_task(world.adapters.ensure("m:a"))
    await asyncio.sleep(0)
    await world.spec("pvc://models/other")
    world.sources.gate.set()
    with pytest.raises(Unavailable):
        await asking
    assert world.engine.names == {}


async def test_the_specs_adapter_wins_a_name() -> None:
    world = World()
    await world.spec(FOLDER)
    await world.adapters.ensure("m:a")
    await world.spec(FOLDER, **{"m:a": "x"})
    assert world.engine.names == {"m:a": "m:a@2"}
    await world.spec(FOLDER)
    assert world.engine.names == {}
