"""Where a service answers, and what is known of the gateway's way there: pure."""

from llmservice_api.names import SERVE_PORT
from llmservice_api.reasons import ConditionType, Reason
from llmservice_operator.observed import Observed
from llmservice_operator.resources.worker_args import bounds
from llmservice_operator.rollout import Rollout


def address(observed: Observed, revision: str) -> str | None:
    """`<ip>:<port>` of a revision's Service, once it has one."""
    service = observed.child("services", revision)
    ip = (service or {}).get("spec", {}).get("clusterIP")
    return f"{ip}:{SERVE_PORT}" if ip and ip != "None" else None


def active_address(observed: Observed, rollout: Rollout | None) -> str | None:
    """Where the active revision answers."""
    return address(observed, rollout.active) if rollout and rollout.active else None


def gateway_address(observed: Observed, rollout: Rollout | None) -> str | None:
    """Where gateways are to ask: the active revision.

    While there is none it is the one that comes up, so that its first token comes through them as well; unless they
    would not hold requests for it meanwhile, or would have to wake it (docs/decisions/0053-revisions.md).
    """
    coming = rollout.pending if rollout else None
    is_held = observed.spec.hold.max_requests > 0 and bounds(observed.spec)[0] > 0
    return active_address(observed, rollout) or (address(observed, coming) if coming and is_held else None)


def route_is_proved(observed: Observed) -> bool:
    """Whether status says that a token came through the gateway from the address that it names."""
    return observed.condition_reason(ConditionType.ROUTE_READY) == Reason.ROUTE_ANSWERS


def is_routed(observed: Observed, rollout: Rollout | None) -> bool:
    """Whether status says that a token came through the gateway from the address that is active now."""
    return route_is_proved(observed) and observed.status.get("address") == active_address(observed, rollout)
