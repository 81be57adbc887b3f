"""The last decision of the scaling rule, read out of Ray Serve's controller (2.60), where the rule keeps its state."""

from typing import Any

from llmservice_worker.autoscaling import TOLD


def last_decision(controller: Any) -> dict[str, Any] | None:
    """Runs in the controller, as a call from a replica; None where the rule has changed nothing since it began.

    Raises AttributeError where Ray Serve keeps it elsewhere.
    """
    for application in controller.autoscaling_state_manager._app_autoscaling_states.values():
        for deployment in application._deployment_autoscaling_states.values():
            told: dict[str, Any] | None = (deployment._policy_state or {}).get(TOLD)
            if told is not None:
                return told
    return None
