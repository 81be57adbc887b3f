"""What a request is about."""

import pytest

from tests.chaos.operator.proxy import call_of

RAY = "/apis/ray.io/v1"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/a/leases"
CASES = {
    "list": ("GET", f"{RAY}/rayservices", {}, "list rayservices", False),
    "watch": ("GET", f"{RAY}/rayservices", {"watch": "true"}, "watch rayservices", False),
    "get": ("GET", f"{RAY}/namespaces/a/rayservices/m", {}, "get rayservices/a/m", False),
    "a namespace itself": ("GET", "/api/v1/namespaces/a", {}, "get namespaces/a", False),
    "discovery": ("GET", "/apis/ray.io", {}, "get /apis/ray.io", False),
    "apply": ("PATCH", f"{RAY}/namespaces/a/rayservices/m", {"force": "true"}, "patch rayservices/a/m", True),
    "status": ("PATCH", f"{RAY}/namespaces/a/rayservices/m/status", {}, "patch rayservices/a/m/status", True),
    "trial": ("PATCH", "/api/v1/namespaces/a/secrets/m", {"dryRun": "All"}, "patch secrets/a/m", False),
    "delete": ("DELETE", "/api/v1/namespaces/a/services/m", {}, "delete services/a/m", True),
    "a Lease renewed": ("PUT", f"{LEASES}/llmservice-operator", {}, "update leases/a/llmservice-operator", False),
    "create": ("POST", "/api/v1/namespaces/a/events", {}, "create events/a", True),
}


@pytest.mark.parametrize(("method", "path", "query", "said", "writes"), CASES.values(), ids=CASES)
def test_what_a_request_is_about(method: str, path: str, query: dict[str, str], said: str, writes: bool) -> None:
    call = call_of(method, path, query)
    assert str(call) == said
    assert call.is_write is writes
