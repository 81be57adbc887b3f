"""What is scraped and logged of a real installation: every metric of dashboard and alerts, and each request once."""

import json
import re
import uuid
from typing import Any

import pytest
import yaml

from hack import dashboard, model
from hack.cluster.poll import wait_until
from hack.cluster.progress import Steps
from hack.helm import CHART, NAMESPACE
from llmservice_api.names import LABEL_REVISION, REPLICA_PORT
from llmservice_operator import memory
from tests.e2e.site import ROOM, SERVICE, Site
from tests.unit.chart.promql import metric_names, scraped_names

SECRET = "the walrus said that the time has come"
SCRAPED = (("gateway", 8404), ("gateway", 8405), ("operator", 8080), ("ledger", 8411))


def pods_of(site: Site, namespace: str, selector: str) -> list[str]:
    """The names of running pods."""
    words = ("get", "pods", "--namespace", namespace, "--selector", selector, "--field-selector=status.phase=Running")
    return [pod["metadata"]["name"] for pod in json.loads(site.api.kubectl(*words, "-o", "json"))["items"]]


def pod_of(site: Site, namespace: str, selector: str) -> str:
    """The name of a running pod."""
    return pods_of(site, namespace, selector)[0]


def worker(site: Site) -> str:
    """A worker pod of the served model that requests go to: one of the revision before may still drain."""
    found = site.service(ROOM, SERVICE)
    assert found is not None
    active = found["status"]["revision"]["active"]
    return pod_of(site, ROOM, f"{LABEL_REVISION}={active},ray.io/node-type=worker")


def scrape(site: Site, namespace: str, pod: str, port: int, path: str = "metrics") -> str:
    """What a pod answers on a port, through the API server."""
    return site.api.kubectl("get", "--raw", f"/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy/{path}")


def engine_metrics(site: Site) -> str:
    """The one scrape of an engine."""
    return scrape(site, ROOM, worker(site), REPLICA_PORT)


def lines_of(site: Site, namespace: str, pod: str, request_id: str) -> list[dict[str, Any]]:
    """The lines of a pod's log that are a request's, parsed."""
    text = site.api.kubectl("logs", "--namespace", namespace, pod, "--since=10m")
    return [json.loads(line) for line in text.splitlines() if request_id in line]


def ask(site: Site, request_id: str, stream: bool = False) -> Any:
    """One request with an id of ours; the raw answer."""
    return site.client().chat.completions.with_raw_response.create(
        model=SERVICE,
        messages=[{"role": "user", "content": SECRET}],
        max_tokens=8,
        stream=stream,
        extra_headers={"x-request-id": request_id},
    )


@pytest.fixture(scope="module")
def scraped(served: Site) -> set[str]:
    """Every name that gateway, agent, operator and an engine tell of."""
    ask(served, f"e2e-{uuid.uuid4().hex}")
    texts = [engine_metrics(served)]
    for component, port in SCRAPED:
        # All of them: of an LLMService only the operator that leads tells.
        pods = pods_of(served, NAMESPACE, f"app.kubernetes.io/component={component}")
        texts += [scrape(served, NAMESPACE, pod, port) for pod in pods]
    return {name for text in texts for name in scraped_names(text)}


def test_the_dashboard_asks_for_nothing_that_is_not_scraped(scraped: set[str]) -> None:
    asked = {name for expression in dashboard.expressions() for name in metric_names(expression)}
    assert len(asked) > 15
    assert asked - scraped == set()


def test_alerts_ask_for_nothing_that_is_not_scraped(scraped: set[str]) -> None:
    groups = yaml.safe_load((CHART / "files/alerts.yaml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    asked = {name for rule in rules for name in metric_names(rule["expr"].replace("@firstTokenSeconds", "10"))}
    assert len(asked) > 10
    assert asked - scraped == set()


def test_one_scrape_of_an_engine_holds_vllms_metrics_and_ours(served: Site) -> None:
    ask(served, f"e2e-{uuid.uuid4().hex}")
    text = engine_metrics(served)
    names = {name.partition(":")[0] for name in scraped_names(text) if ":" in name}
    assert names == {"vllm"}
    assert sum(name.startswith("vllm:") for name in scraped_names(text)) > 30
    assert (
        'llmservice_requests_total{model="smol",outcome="completed",path="/v1/chat/completions",status="2xx"}' in text
    )
    assert 'llmservice_engine_start_seconds{phase="load"}' in text
    assert "llmservice_engine_starts_total 1.0" in text


def test_the_cache_of_a_real_engine_holds_as_many_tokens_as_placement_reckons(served: Site) -> None:
    said = re.search(r"^vllm:cache_config_info\{(.*)\} ", engine_metrics(served), re.MULTILINE)
    assert said is not None
    engine = dict(re.findall(r'(\w+)="([^"]*)"', said[1]))
    config = json.loads((model.ensure(Steps()) / "config.json").read_text())
    token = memory.shape(config, weights=0).cached * 2  # bytes: the engine runs in bfloat16
    whole_blocks = int(engine["kv_cache_memory_bytes"]) // (token * int(engine["block_size"]))
    assert int(engine["kv_cache_size_tokens"]) == whole_blocks * int(engine["block_size"])


def test_a_replica_says_its_state(served: Site) -> None:
    state = json.loads(scrape(served, ROOM, worker(served), REPLICA_PORT, "state"))
    assert state["engine"]["state"] == "Ready"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_request_is_logged_once_by_gateway_and_worker_with_the_id_of_its_answer(served: Site, stream: bool) -> None:
    request_id = f"e2e-{uuid.uuid4().hex}"
    answer = ask(served, request_id, stream)
    assert answer.headers["x-request-id"] == request_id
    assert answer.headers["openai-processing-ms"].isdigit()
    list(answer.parse()) if stream else answer.parse()
    pod, gateway = worker(served), pod_of(served, NAMESPACE, "app.kubernetes.io/component=gateway")
    wait_until(lambda: bool(lines_of(served, ROOM, pod, request_id)), "the worker logs it", timeout=10)
    (line,) = [each for each in lines_of(served, ROOM, pod, request_id) if each["logger"] == "llmservice.access"]
    assert (line["request_id"], line["status"], line["outcome"]) == (request_id, 200, "completed")
    assert (line["route"], line["model"], line["path"]) == (f"{ROOM}/{SERVICE}", SERVICE, "/v1/chat/completions")
    assert line["stream"] is stream
    assert (line["ttft_ms"] is not None) is stream
    (said,) = lines_of(served, NAMESPACE, gateway, request_id)
    assert said["key"] == line["key_id"] != ""


def test_no_log_holds_a_word_of_a_prompt(served: Site) -> None:
    ask(served, f"e2e-{uuid.uuid4().hex}")
    pods = [(ROOM, worker(served)), (NAMESPACE, pod_of(served, NAMESPACE, "app.kubernetes.io/component=gateway"))]
    for namespace, pod in pods:
        text = served.api.kubectl("logs", "--namespace", namespace, pod)
        assert text
        assert SECRET not in text
    # grep says 1 where it finds nothing, and 2 where a file goes as it looks; that there are logs, cd says.
    search = f"cd /tmp/ray/session_latest/logs && (grep -rlF '{SECRET}' /tmp/ray || true)"
    assert served.api.kubectl("exec", "--namespace", ROOM, worker(served), "--", "sh", "-c", search) == ""


def test_every_part_logs_lines_of_json(served: Site) -> None:
    for component in ("gateway", "operator", "ledger"):
        pod = pod_of(served, NAMESPACE, f"app.kubernetes.io/component={component}")
        lines = served.api.kubectl("logs", "--namespace", NAMESPACE, pod).splitlines()
        assert [line for line in lines if not line.startswith("{")] == []
    own = served.api.kubectl("logs", "--namespace", ROOM, worker(served)).splitlines()
    loggers = {json.loads(line)["logger"].partition(".")[0] for line in own if line.startswith("{")}
    assert {"llmservice", "llmservice_worker", "vllm"} <= loggers
