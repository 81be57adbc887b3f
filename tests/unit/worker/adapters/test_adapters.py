import asyncio

import pytest

from llmservice_worker.adapters.adapters import Steps, steps
from llmservice_worker.adapters.checks import Fault
from llmservice_worker.adapters.shelf import UNUSED_S
from llmservice_worker.args import Adapter, UserConfig
from tests.eventually import eventually
from tests.unit.worker.adapters.world import FOLDER, World

A, B, A2 = Adapter(name="a", source="x"), Adapter(name="b", source="y"), Adapter(name="a", source="z")


@pytest.mark.parametrize(
    ("wanted", "held", "unload", "load"),
    [
        ([], {}, (), ()),
        ([A, B], {}, (), (A, B)),
        ([A, B], {"a": "x"}, (), (B,)),
        ([A], {"a": "x", "b": "y"}, ("b",), ()),
        ([A2], {"a": "x"}, (), (A2,)),
        ([], {"b": "y", "a": "x"}, ("a", "b"), ()),
        ([A, B], {"a": "x", "b": "y"}, (), ()),
    ],
)
def test_steps(wanted: list[Adapter], held: dict[str, str], unload: tuple[str, ...], load: tuple[Adapter, ...]) -> None:
    assert steps(wanted, held) == Steps(unload, load)


async def test_what_the_spec_names_is_loaded_once_and_goes_with_it() -> None:
    world = World()
    await world.spec(a="x", b="y")
    await world.spec(b="y", a="x")
    assert world.adapters.state() == [
        {"name": "b", "source": "y", "state": "Loaded"},
        {"name": "a", "source": "x", "state": "Loaded"},
    ]
    assert sorted(world.sources.brought) == ["x", "y"]
    assert world.adapters.names() == {"a": "m", "b": "m"}
    await world.spec(b="y")
    assert (set(world.engine.names), world.states()) == ({"b"}, {"b": "Loaded"})
    assert await world.refused("a") == (404, "model_not_found")


async def test_a_broken_adapter_breaks_only_itself_and_is_tried_again() -> None:
    world = World()
    world.sources.faults = {"x": Fault("Corrupt", "x is corrupt"), "u": RuntimeError("a bug")}
    world.engine.faults = {"refused": Fault("EngineRefused", "no")}
    await world.spec(broken="x", bug="u", refused="z", good="y")
    assert world.states() == {
        "broken": "Failed Corrupt",
        "bug": "Failed SourceUnreachable",
        "refused": "Failed EngineRefused",
        "good": "Loaded",
    }
    assert world.adapters.state()[0]["message"] == "x is corrupt"
    assert set(world.engine.names) == {"good"}
    assert len(world.sources.here) == 1
    assert await world.refused("broken") == (404, "model_not_found")
    world.sources.faults.clear()
    world.engine.faults.clear()
    for _ in range(3):
        await world.retry()
    await eventually(lambda: set(world.states().values()) == {"Loaded"})
    await world.adapters.ensure("broken")


async def test_while_one_is_loading_the_others_answer() -> None:
    world = World()
    await world.spec(a="x")
    world.sources.gate.clear()
    await world.adapters.take_over(UserConfig(adapters=(A, B)))
    assert world.states() == {"a": "Loaded", "b": "Loading"}
    await world.adapters.ensure("a")
    assert await world.refused("b") == (503, "overloaded")
    world.sources.gate.set()
    await world.adapters.tried()
    await world.adapters.ensure("b")


async def test_another_source_takes_the_old_ones_place_without_a_gap() -> None:
    world = World()
    await world.spec(a="x")
    world.sources.gate.clear()
    await world.adapters.take_over(UserConfig(adapters=(A2,)))
    await world.adapters.ensure("a")
    assert world.engine.names == {"a": "a@1"}
    world.sources.gate.set()
    await world.adapters.tried()
    assert world.engine.names == {"a": "a@2"}


async def test_another_source_that_is_broken_leaves_no_old_weights_under_its_name() -> None:
    world = World()
    await world.spec(a="x")
    world.sources.faults["z"] = Fault("SourceNotFound", "gone")
    await world.spec(a="z")
    assert (world.states(), world.engine.names) == ({"a": "Failed SourceNotFound"}, {})


async def test_one_that_is_taken_away_while_it_is_fetched_is_neither_served_nor_kept() -> None:
    world = World()
    world.sources.gate.clear()
    await world.adapters.take_over(UserConfig(adapters=(A,)))
    await asyncio.sleep(0)  # its task begins
    await world.adapters.take_over(UserConfig())
    world.sources.gate.set()
    await world.spec(b="y")
    await eventually(lambda: len(world.sources.brought) >= 2 and len(world.sources.here) <= 1)
    assert set(world.engine.names) == {"b"}


async def test_files_stay_while_a_request_may_still_read_them() -> None:
    world = World()
    await world.spec(a="x", b="y")
    world.engine.used = {"a@1", "a@2"} & world.engine.held
    (used,) = world.engine.used
    await world.spec()
    await world.spec()
    assert len(world.sources.here) == 2
    world.clock.now += UNUSED_S
    await world.spec()
    assert (world.engine.held, len(world.sources.here)) == ({used}, 1)
    world.engine.used.clear()
    await world.spec()
    assert (world.engine.held, world.sources.here) == (set(), set())


async def test_an_engine_that_forgets_nothing_keeps_no_files_and_fails_no_change() -> None:
    world = World()
    await world.spec(a="x", b="y", dynamic=FOLDER)
    await world.spec(dynamic=FOLDER)
    world.clock.now += UNUSED_S
    world.engine.is_dead = True
    await world.adapters.ensure("m:a")
    assert (set(world.engine.names), len(world.sources.here)) == ({"m:a"}, 1)
    await world.spec()
    world.clock.now += UNUSED_S
    await world.spec(b="y")
    assert (world.states(), len(world.sources.here)) == ({"b": "Loaded"}, 1)


async def test_a_new_engine_gets_all_that_the_spec_names() -> None:
    world = World()
    await world.spec(dynamic="pvc://d", a="x")
    await world.adapters.ensure("m:one")
    world.engine.names.clear()
    world.adapters.load_anew()
    await world.adapters.tried()
    assert set(world.engine.names) == {"a"}
    await world.adapters.ensure("m:one")
    assert set(world.engine.names) == {"a", "m:one"}
