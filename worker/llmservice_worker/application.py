"""The Serve application of one LLMService as RayService's `serveConfigV2` holds it: pure, for the operator."""

from typing import Any, Final

from llmservice_worker.args import LiveArgs, Scaling, WorkerArgs

IMPORT_PATH: Final = "llmservice_worker.app:build"
POLICY: Final = "llmservice_worker.autoscaling:queue_depth"
DEPLOYMENT: Final = "engine"
"""The one deployment of the application: engine and HTTP ingress in the same replica."""

_RETRY_AFTER_S: Final = 1
_REFUSALS: Final = 64
"""Requests beyond its bound that a replica may be refusing at the same time; Ray Serve would let them wait."""
LOOK_BACK_S: Final = 2.0
_METRICS_INTERVAL_S: Final = 0.5


def application(name: str, worker: WorkerArgs, live: LiveArgs) -> dict[str, Any]:
    """One entry of `applications`: `worker` under `args` (a change restarts engines), `live` under `deployments`.

    JSON types only and no None, so that canonical JSON of it is stable. Why `deployments`: Ray Serve restarts every
    replica, stop before start, when `args` change, but takes over a deployment's bounds and limits as it runs.
    """
    most = live.user_config.max_requests
    return {
        "name": name,
        "route_prefix": "/",
        "import_path": IMPORT_PATH,
        "args": worker.model_dump(mode="json", exclude_defaults=True),
        "deployments": [
            {
                "name": DEPLOYMENT,
                "max_ongoing_requests": most + _REFUSALS,
                "max_queued_requests": most,
                "backpressure_config": {"status_code": 503, "retry_after_s": _RETRY_AFTER_S},
                "graceful_shutdown_timeout_s": live.drain_s,
                "autoscaling_config": autoscaling_config(live.scaling),
                "user_config": live.user_config.model_dump(mode="json", exclude_defaults=True),
            }
        ],
    }


def autoscaling_config(scaling: Scaling) -> dict[str, Any]:
    """Ray Serve's `autoscaling_config`, delays in seconds; the policy is always the same, since it counts as code."""
    return {
        "min_replicas": scaling.min_replicas,
        "max_replicas": scaling.max_replicas,
        "target_ongoing_requests": scaling.target_queue_depth,
        "upscale_delay_s": scaling.up_delay_s,
        "downscale_delay_s": scaling.down_delay_s,
        "downscale_to_zero_delay_s": scaling.idle_after_s,
        "look_back_period_s": LOOK_BACK_S,
        "metrics_interval_s": _METRICS_INTERVAL_S,
        "policy": {"policy_function": POLICY},
    }
