"""Services that share a pool, through any edits, starts, failures and hours: what answers goes on, and all rest."""

from dataclasses import dataclass, field
from datetime import timedelta

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from llmservice_operator.observed import rfc3339
from llmservice_operator.shares import share_of
from llmservice_operator.store import Ref, Store
from tests.unit.operator.builders import NOON, AnEngine, APod, APool, AService
from tests.unit.operator.world import World

POOL = APool().gpu(per_node=1)
NAMES = ("a", "b", "c")


@dataclass
class Fleet:
    """Worlds by name, whose revisions are known to each other as the operator's store knows them."""

    nodes: int
    worlds: dict[str, World] = field(default_factory=dict)
    store: Store = field(default_factory=Store)
    version: int = 0
    minutes: float = 0

    def create(self, name: str) -> None:
        if name not in self.worlds:
            self.worlds[name] = World(AService(name).build())

    def step(self, name: str) -> bool:
        """One reconcile; whether it changed anything."""
        self.sees(name)
        changed = self.decides(name)
        self.is_known(name)
        return changed

    def together(self) -> None:
        """All are reconciled in one moment: what each does is known to the others afterwards only."""
        for act in (self.sees, self.decides, self.is_known):
            for name in sorted(self.worlds):
                act(name)

    def sees(self, name: str) -> None:
        """What the others have, now."""
        world = self.worlds[name]
        world.now = NOON + timedelta(minutes=self.minutes)
        world.pools = {"gpu": POOL.having(maxNodes=self.nodes).build()}
        world.more = {"taken": self.store.shares.beside(("team-a", name), ["gpu"])}

    def decides(self, name: str) -> bool:
        """What answered before answers still, or gave way to one that is new, and status says why."""
        world = self.worlds[name]
        answering, before = self.answering(name), (dict(world.service.get("status") or {}), set(world.children))
        world.step()
        for obj in world.children.values():
            obj["metadata"].setdefault("creationTimestamp", rfc3339(world.now))
        if answering is not None and answering not in world.revisions():
            now, known = world.service["status"]["revision"], before[0].get("revision") or {}
            gave_way = "noRoomBeside" in now and now["pending"] != known.get("pending")
            assert gave_way or now.get("active") in world.revisions(), (known, now)
        return before != (world.service["status"], set(world.children))

    def answering(self, name: str) -> str | None:
        """The active revision, where its engine is up."""
        world = self.worlds[name]
        active = ((world.service.get("status") or {}).get("revision") or {}).get("active")
        ready = {pod["metadata"]["labels"]["llmservice.io/revision"] for pod in world.pods}
        return active if active in ready and active in world.revisions() else None

    def comes_up(self, name: str) -> None:
        """Whatever is pending has a node, and answers."""
        world = self.worlds[name]
        pending = ((world.service.get("status") or {}).get("revision") or {}).get("pending")
        if pending is not None and pending in world.revisions():
            world.pods = [APod(pending).ready().build()]
            world.engine(pending, AnEngine().running())

    def claimed(self) -> int:
        """Accelerators that all revisions have at least."""
        return sum(
            share.fewest
            for world in self.worlds.values()
            for ref, obj in world.children.items()
            if ref.plural == "rayservices" and (share := share_of(obj)) is not None
        )

    def serving(self) -> int:
        """Accelerators of the active revisions."""
        return sum(self.answering(name) is not None for name in self.worlds)

    def settle(self) -> None:
        """Reconcile all in turn until nobody changes anything; each turn is a minute."""
        for _ in range(60):
            self.minutes += 1
            changed = [self.step(name) for name in sorted(self.worlds)]  # all of them, whoever changed
            if not any(changed):
                return
        raise AssertionError("they do not come to rest")

    def is_known(self, name: str) -> None:
        """As the watches bring it to the others."""
        self.version += 1
        world = self.worlds[name]
        there = [ref for ref, _ in self.store.children("team-a", name) if ref.plural == "rayservices"]
        for ref in set(there) - set(world.children):
            self.store.remove(ref)
        for ref, obj in world.children.items():
            if ref.plural == "rayservices":
                obj["metadata"]["resourceVersion"] = str(self.version)
                self.store.put("rayservices", obj)
        service = {**world.service, "metadata": world.service["metadata"] | {"resourceVersion": str(self.version)}}
        self.store.put("llmservices", service)


def edit(fleet: Fleet, name: str, value: int) -> None:
    fleet.worlds[name].edit(model={"source": f"hf://org/m{value}", "revision": "abc"})


def deleted(fleet: Fleet, name: str, _: int) -> None:
    for ref in [ref for ref, _ in fleet.store.children("team-a", name)]:
        fleet.store.remove(ref)
    fleet.store.remove(Ref("llmservices", "team-a", name))
    del fleet.worlds[name]


def later(fleet: Fleet, _: str, value: int) -> None:
    fleet.minutes += (1, 6, 31)[value % 3]


def resized(fleet: Fleet, _: str, value: int) -> None:
    fleet.nodes = 1 + value


ACTIONS = {
    "step": lambda fleet, name, _: fleet.step(name),
    "together": lambda fleet, *_: fleet.together(),
    "edit": edit,
    "comes up": lambda fleet, name, _: fleet.comes_up(name),
    "delete": deleted,
    "later": later,
    "resize": resized,
}
STEPS = st.tuples(st.sampled_from(["step", "step", "together", *ACTIONS]), st.sampled_from(NAMES), st.integers(0, 3))


@hypothesis_settings(max_examples=150)
@given(st.integers(1, 4), st.lists(STEPS, max_size=40))
def test_whatever_happens_they_come_to_rest_and_what_answers_goes_on(
    nodes: int, steps: list[tuple[str, str, int]]
) -> None:
    fleet = Fleet(nodes)
    for action, name, value in steps:
        fleet.create(name)
        ACTIONS[action](fleet, name, value)
    fleet.settle()
    answering = {name: fleet.answering(name) for name in fleet.worlds}
    assert fleet.claimed() <= max(fleet.nodes, fleet.serving()), "beyond maxNodes only what has answered there"
    fleet.minutes += 600
    fleet.settle()
    after = {name: fleet.answering(name) for name in fleet.worlds}
    assert {name: known for name, known in answering.items() if known} == {
        name: after[name] for name, known in answering.items() if known
    }
