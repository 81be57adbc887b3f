"""What a ledger changes of a service's pods, and what it does not."""

import json
from typing import Any

from llmservice_api import names
from llmservice_api.llmservice import LLMServiceSpec
from llmservice_operator.resources.rayservice import make_ray_service, revision_name
from llmservice_worker import access, args
from tests.unit.operator.builders import APool, AService

Json = dict[str, Any]
SERVICE = AService().build()
SPEC = LLMServiceSpec.model_validate(SERVICE["spec"])
POOL = APool().build()
LEDGER = "http://ledger.llmservice-system.svc"


def rendered(ledger: str | None, revision: str = "m-abc123") -> Json:
    """The spec of a RayService."""
    return dict(make_ray_service(SERVICE, SPEC, POOL, "cpu", revision, ledger=ledger)["spec"])


def pod(ray: Json, group: str) -> Json:
    """The pod of the head or of the workers."""
    cluster = ray["rayClusterConfig"]
    found = cluster["headGroupSpec"] if group == "head" else cluster["workerGroupSpecs"][0]
    return dict(found["template"]["spec"])


def told(ray: Json) -> Json:
    """The worker's arguments."""
    return dict(json.loads(ray["serveConfigV2"])["applications"][0]["args"])


def test_without_a_ledger_nothing_is_metered() -> None:
    assert "origin" not in told(rendered(None))
    assert "ledger" not in json.dumps(rendered(None))


def test_a_ledger_is_a_matter_of_the_pods_and_so_of_the_revision() -> None:
    assert revision_name("m", SPEC, POOL) != revision_name("m", SPEC, POOL, ledger=LEDGER)
    assert pod(rendered(LEDGER), "head") == pod(rendered(None), "head")


def test_events_name_the_revision_that_made_them() -> None:
    metadata = SERVICE["metadata"]
    for revision in ("m-abc123", "m-def456"):
        expected = {"namespace": metadata["namespace"], "service": metadata["name"], "revision": revision}
        assert told(rendered(LEDGER, revision))["origin"] == expected


def test_a_worker_has_a_token_for_the_ledger_and_no_other() -> None:
    worker = pod(rendered(LEDGER), "workers")
    assert worker["automountServiceAccountToken"] is False
    (projected,) = [volume["projected"] for volume in worker["volumes"] if "projected" in volume]
    (source,) = projected["sources"]
    assert source["serviceAccountToken"]["audience"] == "llmservice-ledger"
    (container,) = worker["containers"]
    environment = {each["name"]: each["value"] for each in container["env"]}
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert environment[args.LEDGER_URL] == LEDGER
    assert environment[args.LEDGER_TOKEN].rpartition("/")[0] in mounts


def test_the_spool_is_a_bounded_volume() -> None:
    worker = pod(rendered(LEDGER), "workers")
    (mount,) = [each for each in worker["containers"][0]["volumeMounts"] if each["mountPath"] == args.SPOOL]
    (volume,) = [each for each in worker["volumes"] if each["name"] == mount["name"]]
    assert volume["emptyDir"] == {"sizeLimit": "64Mi"}


def test_both_parts_name_headers_alike() -> None:
    assert (names.KEY_ID_HEADER.encode(), names.ROUTE_HEADER.encode()) == (access.KEY_ID, access.ROUTE)
