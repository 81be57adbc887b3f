"""The gateway's URLs and the worker's routes are two lists, of two images: held together here."""

from llmservice_gateway.endpoints import AUDIO, ENGINE, MESSAGES, MODELS, POSTS, RERANK, TASKS
from llmservice_worker import routes
from llmservice_worker.args import TEMPLATE_FIELDS
from llmservice_worker.dialects import ANTHROPIC, dialect_of
from llmservice_worker.tasks.app import PATHS as TASK_PATHS

IN_CLUSTER_ONLY = {"/classify", "/tokenize", "/detokenize"}
"""What vLLM has outside /v1: the gateway does not know it."""


def test_each_public_route_of_the_worker_is_one_of_the_gateways_and_the_other_way_round() -> None:
    gateways = {f"/v1/{path}" for path in (*POSTS, MODELS)} | {f"/v2/{RERANK}"}
    assert gateways == (routes.PATHS | TASK_PATHS) - IN_CLUSTER_ONLY
    assert set(routes.ROUTES) >= IN_CLUSTER_ONLY


def test_the_tasks_are_the_same() -> None:
    assert set(TASKS) == set(TEMPLATE_FIELDS)


def test_the_oldest_completions_name_their_engine_in_both() -> None:
    assert ENGINE.startswith("^engines/")
    assert routes.engine_named("/v1/engines/org/llama/completions") == "org/llama"


def test_both_take_the_same_bodies_for_forms_and_the_same_routes_for_anthropics() -> None:
    forms = {path for path, route in routes.ROUTES.items() if route.body == "form"}
    assert forms == {f"/v1/{path}" for path in POSTS if path.startswith(AUDIO)}
    anthropics = {path for path in routes.PATHS if dialect_of(path) is ANTHROPIC}
    assert anthropics == {f"/v1/{path}" for path in MESSAGES}
