"""The configuration as text: what must stand in it, and that all of it is filled in."""

import json
import re
import shlex
from importlib import resources

import pytest

from llmservice_api.names import ADDRESS_HEADER, ADMIN_HEADER, KEY_ID_HEADER, ROUTE_HEADER
from llmservice_gateway import errors
from llmservice_gateway.endpoints import ENGINE, POSTS
from llmservice_gateway.errors import ApiError
from llmservice_gateway.haproxy import PEPPER_VARIABLE, render
from llmservice_gateway.reply import TARGET_HEADER
from llmservice_gateway.settings import Settings

TABLE = [(name, value) for name, value in vars(errors).items() if isinstance(value, ApiError)]
ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
}


@pytest.fixture(scope="module")
def text() -> str:
    return render(Settings())


@pytest.mark.parametrize(
    "line",
    [
        "nbthread 2",
        "maxconn 2000",
        "tune.bufsize 81920",
        "stats socket unix@/run/haproxy/haproxy.sock mode 600 level admin",
        f"set-var proc.pepper env({PEPPER_VARIABLE})",
        "bind 0.0.0.0:8080 proto h1",
        "bind 0.0.0.0:8404",
        "server agent 127.0.0.1:8406",
        "option http-no-delay",
        "option abortonclose",
        "retry-on conn-failure empty-response 502",
        "retries 2",
        "timeout server 600s",
        "http-request set-var(req.to_model) bool(true) if "
        f"{{ var(req.api) -m str {' '.join(POSTS)} }} or {{ var(req.api) -m reg {ENGINE} }}",
    ],
)
def test_lines(text: str, line: str) -> None:
    assert line in [each.strip() for each in text.splitlines()]


def test_an_ingress_controller_closes_an_idle_connection_before_haproxy_does(text: str) -> None:
    waits = [re.search(rf"^ +timeout {name} (\d+)s$", text, re.MULTILINE) for name in ("client", "http-keep-alive")]
    assert min(int(found[1]) for found in waits if found) > 90, "Traefik's wait; HAProxy takes the shorter of its two"
    assert all(waits)


def test_everything_is_filled_in(text: str) -> None:
    assert "@{" not in text
    assert render(Settings()) == text


def test_the_template_spells_out_no_header_of_ours(text: str) -> None:
    template = resources.files("llmservice_gateway").joinpath("haproxy.cfg").read_text(encoding="utf-8")
    assert "x-llmservice" not in template
    said = set(re.findall(r"(?:set-header|fhdr\() ?(x-llmservice-[a-z-]+)", text))
    assert said == {ADDRESS_HEADER, ADMIN_HEADER, KEY_ID_HEADER, ROUTE_HEADER, TARGET_HEADER, errors.REASON_HEADER}


def test_nothing_of_traces_is_there_unless_an_endpoint_is(text: str) -> None:
    assert not re.search("trace_id|txn.trace|traces.sock|set-header traceparent", text)
    traced = render(Settings(tracing_endpoint="http://otel:4318", tracing_samples_per_million=7))
    assert "@{" not in traced
    for part in (
        "log /run/haproxy/traces.sock len 8192 format raw daemon info",
        "{ rand(1000000) lt 7 }",
        "set-header traceparent 00-%[var(txn.trace)]-%[var(txn.span)]-%[var(txn.flags)]",
        '"trace_id":"%[var(txn.trace)]"',
    ):
        assert traced.count(part) == 1


def test_settings_change_what_they_name() -> None:
    other = render(Settings(address="::1", public_port=1, threads=7, buffer_size=131072, server_timeout=9))
    for part in ("bind [::1]:1 ", "nbthread 7", "tune.bufsize 131072", "timeout server 9s", "at-least 106497"):
        assert part in other


@pytest.mark.parametrize("status", [400, 408, 413, 429, 500, 502, 503, 504])
def test_what_haproxy_says_itself_has_openais_shape(text: str, status: int) -> None:
    (line,) = [each for each in text.splitlines() if each.startswith(f"  http-error status {status} ")]
    words = shlex.split(line)
    body = words[words.index("lf-string") + 1]
    both = re.compile(r"%\[var\(txn\.anthropic\),iif\((\w+),(\w+)\)\]")
    openai = json.loads(both.sub(r"\2", body.replace("%[var(txn.before)]", "").replace("%[var(txn.after)]", "")))
    assert set(openai) == {"error"}
    assert set(openai["error"]) == {"message", "type", "param", "code"}
    assert openai["error"]["type"] == (
        "server_error" if status >= 500 else "requests" if status == 429 else "invalid_request_error"
    )
    body = body.replace("%[var(txn.before)]", errors.ANTHROPIC_BEFORE)
    anthropic = json.loads(both.sub(r"\1", body.replace("%[var(txn.after)]", errors.ANTHROPIC_AFTER)))
    assert set(anthropic) == {"type", "error", "request_id"}
    assert anthropic["type"] == "error"
    assert anthropic["error"]["type"] == ANTHROPIC_TYPES[status]


def test_the_log_is_json_without_query_or_key(text: str) -> None:
    (line,) = [each for each in text.splitlines() if each.startswith("  log-format")]
    sample = re.sub(r"%(\[[^]]*\]\S*?(?=\")|[A-Za-z]+)", "7", shlex.split(line)[1])
    assert set(json.loads(sample)) == {
        *(
            "time",
            "request_id",
            "method",
            "path",
            "route",
            "key",
            "tenant",
            "status",
            "reason",
            "bytes_in",
            "bytes_out",
            "ms",
            "end",
        ),
    }
    for secret in ("query", "token", "url", "%HU", "%r", "authorization"):
        assert secret not in line


@pytest.mark.parametrize(
    ("spelling", "found"),
    [
        ('"model":', True),
        ('"model" \n:', True),
        (r'"mod\u0065l":', True),
        (r'"\u006D\u006F\u0064\u0065\u006C":', True),
        ('"models":', False),
        (r'"\u004dodel":', False),
        ('"model"', False),
    ],
)
def test_the_key_model_is_found_however_it_is_spelled(text: str, spelling: str, found: bool) -> None:
    (line,) = [each for each in text.splitlines() if "regsub" in each and each.count("-m reg") == 2]
    key = shlex.split(line)[shlex.split(line).index("-m") + 2]

    def twice(body: str) -> bool:
        return bool(re.search(key, re.sub(key, "", body, count=1)))

    assert twice(f"{{{spelling} 1, {spelling} 2}}") is found
    assert twice(f'{{{spelling} "a", "b": ["c\n"], {spelling} 2}}') is found
    assert not twice(f'{{{spelling} "model", "b": "c"}}')


def test_what_a_code_means_twice_has_reasons_apart() -> None:
    said = [(error.status, error.code) for _, error in TABLE if error.status in (429, 503)]
    reasons = [(error.status, error.reason) for _, error in TABLE if error.status in (429, 503)]
    assert len(set(said)) < len(set(reasons)) == len(reasons)


@pytest.mark.parametrize(("name", "error"), TABLE, ids=[name for name, _ in TABLE])
def test_the_table_of_errors(name: str, error: ApiError) -> None:
    assert name.isupper()
    values = {"model": errors.escaped('a"b'), "url": "GET /x", "small": "1", "large": "2"}
    values |= {"limit": "7", "reset": "12", "budget": "team"}
    body = json.loads(error.body(**values))["error"]
    assert list(body) == ["message", "type", "param", "code"]
    assert "{" not in body["message"]
    assert error.status < 500 or body["type"] == "server_error"
    assert error.all_headers["x-llmservice-reason"] == error.reason
    assert re.fullmatch("[a-z_]+", error.reason)
    assert error.status not in (429, 503) or dict(error.headers)["retry-after"].isdigit()
    shaped = json.loads(error.anthropic_body("req_1", **values))
    assert (shaped["type"], shaped["request_id"], shaped["error"]["message"]) == ("error", "req_1", body["message"])
    assert shaped["error"]["type"] == ANTHROPIC_TYPES.get(error.status, "invalid_request_error")
