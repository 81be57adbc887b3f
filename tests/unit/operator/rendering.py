"""What becomes of an LLMService on its pool: run as `python -m tests.unit.operator.rendering`, it writes the goldens.

`golden/<case>.in.yaml` holds the pool, the service, and where it matters what the operator was installed with;
`golden/<case>.out.yaml` what is reviewed by eye.
"""

import json
from pathlib import Path
from typing import Any

import yaml

from llmservice_api.gpupool import GPUPoolSpec
from llmservice_api.llmservice import LLMServiceSpec
from llmservice_operator.placement import Placed, Scene, place
from llmservice_operator.resources.disruptionbudget import make_disruption_budget
from llmservice_operator.resources.rayservice import make_ray_service
from llmservice_worker.args import WorkerArgs
from llmservice_worker.llm_config import deployment_options, engine_environment, llm_config

Json = dict[str, Any]

GOLDEN = Path(__file__).parent / "golden"
REVISION = "revision-000000"
"""In place of the real name, whose digits change with everything."""


def cases() -> list[str]:
    """Names of all cases."""
    return sorted(path.name.removesuffix(".in.yaml") for path in GOLDEN.glob("*.in.yaml"))


def rendered(case: str) -> str:
    """What the operator makes of a case, and what the worker makes of that, as YAML."""
    pool, service, *install = yaml.safe_load_all((GOLDEN / f"{case}.in.yaml").read_text())
    spec = LLMServiceSpec.model_validate(service["spec"])
    nodes: list[Json] = [pool["spec"].get("nodeSelector", {})]
    placed = place(spec, Scene({pool["metadata"]["name"]: GPUPoolSpec.model_validate(pool["spec"])}, nodes))
    assert isinstance(placed, Placed), placed
    ray = make_ray_service(service, spec, placed.pool, placed.pool_name, REVISION, **(install[0] if install else {}))[
        "spec"
    ]
    return yaml.dump(_reviewed(ray, make_disruption_budget(service, spec)), Dumper=_Plain, sort_keys=True, width=120)


class _Plain(yaml.SafeDumper):
    """YAML in which what is said twice is written twice."""

    def ignore_aliases(self, _: object) -> bool:
        """Always."""
        return True


def _reviewed(ray: Json, budget: Json) -> Json:
    (application,) = json.loads(ray["serveConfigV2"])["applications"]
    args = WorkerArgs.model_validate(application["args"])
    cluster = ray["rayClusterConfig"]
    (group,) = cluster["workerGroupSpecs"]
    return {
        "application": application,
        "engine": {
            "config": llm_config(args),
            "environment": engine_environment(args),
            "deployment": deployment_options(args),
        },
        "head": cluster["headGroupSpec"],
        "workers": group,
        "budget": {"minAvailable": budget["spec"]["minAvailable"]},
    }


def main() -> None:
    """Write every golden anew."""
    for case in cases():
        (GOLDEN / f"{case}.out.yaml").write_text(rendered(case))


if __name__ == "__main__":
    main()
