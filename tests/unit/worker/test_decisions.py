"""The rule's last decision where Ray Serve's controller keeps it; that it does is seen on a real one."""

from types import SimpleNamespace
from typing import Any

import pytest

from llmservice_worker.decisions import last_decision


def a_controller(*states: dict[str, Any] | None) -> SimpleNamespace:
    deployments = {number: SimpleNamespace(_policy_state=state) for number, state in enumerate(states)}
    application = SimpleNamespace(_deployment_autoscaling_states=deployments)
    return SimpleNamespace(autoscaling_state_manager=SimpleNamespace(_app_autoscaling_states={"llm": application}))


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([], None),
        ([None], None),
        ([{}], None),
        ([{"memory": 1, "told": None}], None),
        ([None, {"told": {"from": 1, "to": 2}}], {"from": 1, "to": 2}),
    ],
)
def test_the_last_decision(states: list[dict[str, Any] | None], expected: dict[str, Any] | None) -> None:
    assert last_decision(a_controller(*states)) == expected
