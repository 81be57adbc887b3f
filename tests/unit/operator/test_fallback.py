"""A service and its pools over hours: nodes that do not come, that come back, and that go."""

from itertools import pairwise
from typing import Any

import pytest

from llmservice_api.gpupool import GPUPoolSpec
from llmservice_operator.memory import remembered
from llmservice_operator.placement import Placed
from llmservice_operator.plan import Plan, decide
from llmservice_operator.resources.worker_args import bounds
from llmservice_operator.shares import Taken
from llmservice_operator.store import Ref
from tests.unit.operator.builders import AnEngine, APod, APool, AService
from tests.unit.operator.world import World, kinds

SPOT = APool().gpu(per_node=4).having(pricePerHour="1.00", maxNodes=4).build()
DEAR = APool().gpu(per_node=4, product="NVIDIA-L40S").having(pricePerHour="3.00", maxNodes=4).build()


BOTH = {"pools": ["spot", "dear"]}


def a_world(**spec: Any) -> World:
    return World(AService().spec(**({"placement": BOTH} | spec)).build(), pools={"spot": SPOT, "dear": DEAR})


def pool(world: World) -> str:
    return str(world.service["status"]["placement"]["pool"])


def passed_over(world: World) -> list[tuple[str, int]]:
    found = world.service["status"]["placement"].get("passedOver", [])
    return [(each["pool"], each["times"]) for each in found]


def finds_no_node(world: World, plan: Plan) -> None:
    """The wanted revision's only worker waits for a node from now on."""
    world.pods = [pod for pod in world.pods if pod["metadata"]["labels"]["llmservice.io/revision"] != plan.wanted]
    world.pods.append(APod(str(plan.wanted)).unschedulable("0/3 nodes are available", world.now).build())


def comes_up(world: World, plan: Plan) -> None:
    world.pods = [APod(str(plan.wanted)).ready().build()]
    world.engine(str(plan.wanted), AnEngine().running()).settle()


def fallen_back(**spec: Any) -> World:
    """Serving on the second pool, since the first had no node."""
    world = a_world(**spec)
    finds_no_node(world, world.step())
    world.later(minutes=10).step()
    comes_up(world, world.step())
    assert (pool(world), world.condition("Ready")[0]) == ("dear", "True")
    return world


def test_a_pod_that_waits_for_a_node_is_given_its_time_and_then_the_next_pool_is_tried() -> None:
    world = a_world()
    plan = world.step()
    finds_no_node(world, plan)
    plan = world.later(minutes=9, seconds=59).step()
    assert (pool(world), passed_over(world)) == ("spot", [])
    assert plan.choice is not None
    assert plan.choice.look_again is not None
    assert plan.choice.look_again.total_seconds() == 1
    plan = world.later(seconds=1).step()
    assert (pool(world), passed_over(world)) == ("dear", [("spot", 1)])
    assert "rayservices" in kinds(plan)


def test_what_loads_on_the_next_pool_is_not_dropped_for_another_try_of_the_first() -> None:
    world = a_world()
    finds_no_node(world, world.step())
    world.later(minutes=10).step()
    plan = world.later(minutes=1).step()
    world.pods = [APod(str(plan.wanted)).build()]  # it has a node, and loads
    for _ in range(3):
        world.later(minutes=8).step()
        assert (pool(world), world.revisions()) == ("dear", [plan.wanted])
    comes_up(world, plan)
    world.later(minutes=1).step()
    assert pool(world) == "spot", "once it answers, the first choice is tried beside it"


def test_how_long_is_what_the_spec_says() -> None:
    world = a_world(placement={"pools": ["dear", "spot"], "fallbackAfter": "30s"})
    finds_no_node(world, world.step())
    world.later(seconds=30).step()
    assert pool(world) == "spot"


def test_where_no_other_pool_fits_it_waits_on() -> None:
    world = a_world(placement={"pools": ["spot", "x"]})
    finds_no_node(world, world.step())
    plan = world.later(hours=5).step()
    assert (pool(world), passed_over(world), kinds(plan)) == ("spot", [], [])


@pytest.mark.parametrize("spec", [{"placement": {"pools": ["spot"]}}, {"placement": {}}, {"paused": True}])
def test_nobody_is_moved_to_a_pool_that_he_did_not_name_or_while_he_wants_no_change(spec: dict[str, Any]) -> None:
    world = a_world()
    finds_no_node(world, world.step())
    world.edit(**spec)
    world.later(hours=5).step()
    assert (pool(world), passed_over(world)) == ("spot", [])


def test_the_first_choice_is_tried_again_while_the_second_goes_on_and_taken_once_it_answers() -> None:
    world = fallen_back()
    assert kinds(world.later(minutes=9).step()) == []
    serving = world.service["status"]["revision"]["active"]
    plan = world.later(minutes=1).step()
    assert pool(world) == "spot"
    assert world.service["status"]["revision"]["active"] == serving
    assert world.condition("Ready")[0] == "True"
    comes_up(world, plan)
    assert (pool(world), passed_over(world)) == ("spot", [])
    assert world.service["status"]["revision"]["active"] == plan.wanted


def test_a_first_choice_that_has_still_no_node_is_tried_ever_more_seldom_and_nothing_flaps() -> None:
    world = fallen_back()
    serving = world.service["status"]["revision"]["active"]
    tried = []
    moved = 0
    for minute in range(0, 24 * 60, 10):
        before = pool(world)
        plan = world.later(minutes=10).step()
        moved += pool(world) != before
        if pool(world) == "spot" and before == "dear":
            tried.append(minute)
            finds_no_node(world, plan)
        assert world.service["status"]["revision"]["active"] == serving
        assert world.condition("Ready")[0] == "True"
    gaps = [later - earlier for earlier, later in pairwise(tried)]
    assert gaps == [30, 50, 90, 170, 330, 650]  # fallbackAfter, and 20, 40, 80 … minutes
    assert moved == 2 * len(tried)


ONE = APool().gpu(per_node=1).having(maxNodes=1).build()
SPARE = APool().gpu(product="A10").having(maxNodes=1).build()
OTHER_MODEL = {"source": "hf://org/other", "revision": "abc"}


def serving_alone(**pools: GPUPoolSpec) -> tuple[World, str]:
    """On a pool that has no room for two."""
    world = World(AService().build(), pools={"one": ONE} | pools)
    world.node_labels = [pool.node_selector for pool in world.pools.values()]
    plan = world.step()
    comes_up(world, plan)
    assert world.condition("Ready")[0] == "True"
    return world, str(plan.wanted)


def test_where_two_do_not_fit_the_old_revision_goes_first_and_why_is_said_until_the_new_one_is_up() -> None:
    world, old = serving_alone()
    world.edit(model=OTHER_MODEL).step()
    assert world.revisions() == []
    said = "pool one has 1 accelerators, of which other services take 0 and what serves 1, and a new replica needs 1"
    assert world.service["status"]["revision"]["noRoomBeside"] == said
    plan = world.step()
    assert world.revisions() == [plan.wanted] != [old]
    world.later(minutes=3).step()
    assert said in world.condition("Progressing")[2]
    comes_up(world, plan)
    assert world.service["status"]["revision"] == {"active": plan.wanted}
    assert world.condition("Ready")[0] == "True"


def test_on_the_nodes_that_are_there_it_is_tried_first_and_the_old_revision_goes_when_none_has_come() -> None:
    world, old = serving_alone(one=APool().gpu(per_node=1).build())
    plan = world.edit(model=OTHER_MODEL).step()
    finds_no_node(world, plan)
    plan = world.later(minutes=9).step()
    assert world.revisions() == sorted([old, str(plan.wanted)])
    assert plan.choice is not None
    assert plan.choice.look_again is not None
    assert plan.choice.look_again.total_seconds() == 60
    world.later(minutes=1).step()
    assert world.revisions() == [plan.wanted]
    assert "a new replica needs 1" in world.service["status"]["revision"]["noRoomBeside"]
    world.step()
    assert world.revisions() == [plan.wanted]
    comes_up(world, plan)
    assert world.service["status"]["revision"] == {"active": plan.wanted}


@pytest.mark.parametrize(("named", "then"), [([], "spare"), (["one", "spare"], "one")], ids=["any pool", "in order"])
def test_where_another_pool_has_room_nothing_goes_first(named: list[str], then: str) -> None:
    world, old = serving_alone(spare=SPARE)
    plan = world.edit(model=OTHER_MODEL, placement={"pools": named}).step()
    both = sorted([old, str(plan.wanted)])
    for _ in range(3):  # what comes up there is left there
        world.later(minutes=1).step()
        assert (pool(world), world.revisions()) == ("spare", both)
    comes_up(world, plan)
    assert world.service["status"]["revision"]["active"] == plan.wanted
    plan = world.later(minutes=5).settle()
    assert (pool(world), world.condition("Ready")[0]) == (then, "True"), "back where it is named first, beside"
    assert (plan.wanted in world.revisions(), old in world.revisions()) == (True, False)


TWO = ONE.model_copy(update={"max_nodes": 2})


def test_what_was_given_up_never_comes_back_for_what_serves() -> None:
    world, old = serving_alone(one=TWO)
    plan = world.edit(model=OTHER_MODEL).step()
    assert world.revisions() == sorted([old, str(plan.wanted)])
    world.later(minutes=30).step()
    assert world.revisions() == [old]
    for others in (1, 2, 1, 0):
        world.more = {"taken": {"one": Taken(others, others)}}
        world.later(hours=1).step()
        assert world.revisions() == [old], f"others have {others} of two"
        assert world.service["status"]["revision"]["active"] == old
        assert world.condition("Progressing")[1] == "ProgressDeadlineExceeded"
    world.edit(replicas=1).step()
    assert world.revisions() == sorted([old, str(plan.wanted)])


def test_a_pending_revision_that_somebody_deletes_does_not_end_what_serves_either() -> None:
    world, old = serving_alone(one=TWO)
    plan = world.edit(model=OTHER_MODEL).step()
    del world.children[Ref("rayservices", "team-a", str(plan.wanted))]
    world.more = {"taken": {"one": Taken(1, 1)}}
    world.step()
    assert old in world.revisions()


def test_an_edit_in_a_drain_waits_for_what_drains_and_ends_nothing() -> None:
    world, old = serving_alone(one=TWO)
    second = world.edit(model=OTHER_MODEL).step()
    comes_up(world, second)
    third = world.edit(engine={"maxModelLen": 2048}).step()
    assert world.revisions() == sorted([old, str(second.wanted), str(third.wanted)])
    assert world.service["status"]["revision"]["active"] == second.wanted


def test_a_revert_in_a_drain_ends_nothing() -> None:
    world, old = serving_alone(one=TWO)
    before = world.service["spec"]["model"]
    second = world.edit(model=OTHER_MODEL).step()
    comes_up(world, second)
    world.pools = {"one": ONE}
    world.edit(model=before).step()
    assert world.revisions() == sorted([old, str(second.wanted)])


def test_a_first_start_waits_for_a_pool_that_is_away_for_a_moment() -> None:
    world = World(AService().build(), pools={"one": ONE})
    plan = world.step()
    world.step()
    world.pools = {}
    world.step()
    assert (world.condition("Placed")[1], world.revisions()) == ("NoPool", [plan.wanted])
    world.pools = {"one": ONE}
    comes_up(world, plan)
    assert world.condition("Ready")[0] == "True"


def test_one_that_may_sleep_and_works_has_a_replica_of_its_pool() -> None:
    world = World(AService().spec(scaling={"minReplicas": 0, "maxReplicas": 2}).build(), pools={"one": ONE})
    comes_up(world, world.step())
    world.later(hours=1).settle()
    world.edit(model=OTHER_MODEL).step()
    assert world.service["status"]["revision"]["noRoomBeside"]


def test_a_revision_of_an_older_operator_is_known_where_it_answers() -> None:
    world, old = serving_alone()
    del world.children[Ref("rayservices", "team-a", old)]["metadata"]["annotations"]
    world.more = {"taken": {"one": Taken(1, 1)}}
    world.step()
    assert (world.condition("Placed")[0], world.revisions()) == ("True", [old])


def test_a_revision_that_came_up_while_there_was_room_is_not_the_end_of_what_serves() -> None:
    world, old = serving_alone()
    world.pools = {"one": ONE.model_copy(update={"max_nodes": 2})}
    plan = world.edit(model=OTHER_MODEL).step()
    world.more = {"taken": {"one": Taken(1, 1)}}
    world.step()
    assert world.revisions() == sorted([old, str(plan.wanted)])


def test_a_pool_that_others_fill_in_the_same_moment_is_left_to_them() -> None:
    world = World(AService().build(), pools={"one": ONE})
    world.step()
    world.more = {"taken": {"one": Taken(1, 1)}}
    plan = world.step()
    assert (world.revisions(), world.names("services")) == ([], [])
    assert world.condition("Placed")[:2] == ("False", "PoolFull")
    assert plan.choice is not None
    assert plan.choice.look_again is not None
    world.more = {}
    world.step()
    assert len(world.revisions()) == 1


def test_without_a_place_what_serves_goes_on_and_what_came_up_beside_it_goes() -> None:
    world, old = serving_alone(spare=SPARE)
    world.edit(model=OTHER_MODEL).step()
    assert len(world.revisions()) == 2
    world.edit(engine={"memory": "900Gi"}).step()
    assert (world.revisions(), world.names("services")) == ([old], [old])
    assert world.condition("Placed")[:2] == ("False", "DoesNotFit")
    assert world.service["status"]["revision"] == {"active": old}
    assert world.condition("EngineReady")[0] == "True"


def test_what_drains_goes_on_draining_without_a_place() -> None:
    world, old = serving_alone(spare=SPARE)
    comes_up(world, world.edit(model=OTHER_MODEL).step())
    since = world.service["status"]["revision"]["drainingSince"]
    world.edit(engine={"memory": "900Gi"}).later(minutes=4).step()
    assert world.service["status"]["revision"]["drainingSince"] == since
    assert old in world.revisions()
    world.later(minutes=1).settle()
    assert old not in world.revisions()
    assert len(world.revisions()) == 1


def test_while_paused_nothing_goes_even_without_a_place() -> None:
    world, _ = serving_alone(spare=SPARE)
    world.edit(model=OTHER_MODEL).step()
    world.edit(engine={"memory": "900Gi"}, paused=True).step()
    assert len(world.revisions()) == 2


def test_recreate_would_stop_what_serves_so_it_stays() -> None:
    world = fallen_back(rollout={"strategy": "Recreate"})
    assert kinds(world.later(hours=30).step()) == []
    assert (pool(world), world.condition("Ready")[0]) == ("dear", "True")


def test_nodes_that_are_taken_away_are_left() -> None:
    world = a_world()
    plan = world.step()
    comes_up(world, plan)
    assert pool(world) == "spot"
    finds_no_node(world, plan)
    world.step()
    plan = world.later(minutes=10).step()
    assert (pool(world), passed_over(world)) == ("dear", [("spot", 1)])
    comes_up(world, plan)
    assert world.condition("Ready")[0] == "True"


def test_one_replica_that_answers_keeps_the_pool() -> None:
    world = a_world(replicas=2)
    plan = world.step()
    comes_up(world, plan)
    world.pods.append(APod(str(plan.wanted), name="second").unschedulable("0/3", world.now).build())
    world.later(hours=1).step()
    assert (pool(world), passed_over(world)) == ("spot", [])


@pytest.mark.parametrize("waits", [False, True])
def test_a_steady_service_on_its_second_pool_writes_nothing(waits: bool) -> None:
    world = fallen_back()
    world.settle()
    before = dict(world.service["status"])
    if waits:
        world.later(minutes=5)
    plan = world.step()
    assert (kinds(plan), plan.delete, world.service["status"]) == ([], (), before)


LARGE = {"of": "hf://org/model@abc", "weights": 65_524_297_360, "storedBits": 16, "cached": 131_072}
LARGE |= {"kvHeads": 8, "heads": 64, "maxTokens": 40_960}


def test_what_is_known_of_a_model_decides_the_accelerators_and_is_said() -> None:
    service = AService().status(model={"shape": LARGE}).build()
    world = World(service, pools={"spot": SPOT, "dear": DEAR})
    world.more = {"shape": remembered(world.service["status"], world.observed().spec.model)}
    plan = world.step()
    assert plan.choice is not None
    assert isinstance(plan.choice.placement, Placed)
    assert plan.choice.placement.accelerators == 4
    status = world.service["status"]
    assert status["model"]["shape"] == LARGE
    found = {key: status["placement"][key] for key in ("pool", "accelerators", "memory", "costPerHour")}
    assert found == {"pool": "spot", "accelerators": 4, "memory": "18.3Gi", "costPerHour": "1.00"}
    (ray,) = [obj for plural, obj in plan.apply if plural == "rayservices"]
    (container,) = ray["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "4"
    assert bounds(world.observed().spec) == (1, 1)


def test_what_answers_stays_where_it_is_though_nothing_is_known_of_the_model_any_more() -> None:
    world = World(AService().status(model={"shape": LARGE}).build(), pools={"spot": SPOT})
    world.more = {"shape": remembered(world.service["status"], world.observed().spec.model)}
    plan = world.step()
    comes_up(world, plan)
    world.more = {}
    assert (world.step().wanted, kinds(world.step())) == (plan.wanted, [])


def test_what_serves_keeps_its_place_while_its_pool_is_away() -> None:
    world = World(AService().build(), pools={"spot": SPOT})
    comes_up(world, world.step())
    before = world.service["status"]["placement"]
    world.pools = {}
    world.step()
    assert (world.condition("Placed")[0], world.service["status"]["placement"]) == ("False", before)
    world.pools = {"spot": SPOT}
    assert kinds(world.step()) == []


def test_what_does_not_fit_is_refused_before_anything_is_made() -> None:
    world = World(AService().status(model={"shape": LARGE}).build(), pools={"small": APool().gpu(per_node=2).build()})
    world.node_labels = [SPOT.node_selector]
    world.more = {"shape": remembered(world.service["status"], world.observed().spec.model)}
    plan = world.step()
    assert (plan.apply, world.revisions()) == ((), [])
    assert world.condition("Placed")[:2] == ("False", "DoesNotFit")
    assert "needs 4×24Gi" in world.condition("Ready")[2]
    assert decide(world.observed()).apply == ()
