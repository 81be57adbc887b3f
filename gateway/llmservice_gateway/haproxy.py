"""haproxy.cfg as a pure function of the settings; nothing of a model or key stands in it."""

import ipaddress
from importlib import resources
from string import Template
from typing import Final

from llmservice_api.names import ADDRESS_HEADER, ADMIN_HEADER, KEY_ID_HEADER, PROBE_KEY_ID, ROUTE_HEADER
from llmservice_gateway import errors
from llmservice_gateway.desired import ADMIN, COLD, LISTED, NAMES, TOLD
from llmservice_gateway.endpoints import AUDIO, ENGINE, MESSAGES, MODELS, ORGANIZATION, POSTS, RERANK
from llmservice_gateway.errors import ApiError
from llmservice_gateway.reply import TARGET_HEADER
from llmservice_gateway.resolution import LONGEST_WAIT
from llmservice_gateway.settings import Settings
from llmservice_gateway.traceparent import IDS, LOGGED, PASSED_ON

PEPPER_VARIABLE: Final = "LLMSERVICE_PEPPER_BASE64"
"""Variable of HAProxy's environment that holds the pepper: neither a file nor the command line shows it."""

_NOBODY: Final = f"{'0' * 64}|0|{LISTED}|{LISTED}"
"""Entry for an unknown key id: expired, and a digest that no key has."""

_STRING: Final = r'"(?:[^"\\]|\\.)*+"'
_PLAIN: Final = r'[^{}\[\]"]++'
_VALUE: Final = (
    rf"(?<value>\s*+(?:{_STRING}|\{{(?:{_PLAIN}|{_STRING}|(?&value))*+\}}"
    rf'|\[(?:{_PLAIN}|{_STRING}|(?&value))*+\]|[^\s"{{}}\[\],:]++)\s*+)'
)
_KEY: Final = r'"(?:m|\\u006[dD])(?:o|\\u006[fF])(?:d|\\u0064)(?:e|\\u0065)(?:l|\\u006[cC])"\s*+:'
"""The key `model` however it is spelled: a model's server, unlike the gateway, undoes escapes in keys."""
_MODEL: Final = rf"\s*+{_KEY}"
_OTHERS: Final = rf"(?:(?!{_MODEL})\s*+{_STRING}\s*+:(?&value),)*+"
_MODEL_TWICE: Final = rf"^\s*+\{{{_OTHERS}{_MODEL}{_VALUE},{_OTHERS}{_MODEL}"
"""A JSON object with `model` twice at its top; possessive throughout, so that no body makes it backtrack."""

_FORM_MODEL: Final = r'name="model"[^\r\n]*+\r\n(?:[^\r\n]++\r\n)*+\r\n([^\r\n]{1,256}+)\r\n'
"""The field `model` of a form, its value as the group."""
_FIRST_GROUP: Final = r"\1"


_LIMITS: Final = {errors.TOKENS_LIMIT: "tokens", errors.PARALLEL_LIMIT: "parallel"}
"""Variables of the limits that errors speak of; of any other: requests."""


class _Config(Template):
    delimiter = "@"
    idpattern = r"(?!)"
    braceidpattern = r"[A-Za-z_]+"


def render(settings: Settings) -> str:
    """The text of haproxy.cfg. HAProxy's environment must hold PEPPER_VARIABLE, and the map files must exist."""
    template = resources.files("llmservice_gateway").joinpath("haproxy.cfg").read_text(encoding="utf-8")
    return _Config(template).substitute(
        _numbers(settings),
        socket=settings.socket,
        pepper_variable=PEPPER_VARIABLE,
        public_bind=_bind(settings.address, settings.public_port),
        refusals_socket=settings.refusals_socket,
        metrics_bind=_bind(settings.address, settings.metrics_port),
        posts=" ".join(POSTS),
        engine=ENGINE,
        audio=AUDIO,
        rerank=RERANK,
        messages=" ".join(f"/v1/{api}" for api in MESSAGES),
        models=MODELS,
        organization=ORGANIZATION,
        admin=ADMIN,
        cold=COLD,
        admin_header=ADMIN_HEADER,
        key_id_header=KEY_ID_HEADER,
        route_header=ROUTE_HEADER,
        target_header=TARGET_HEADER,
        longest_wait=LONGEST_WAIT,
        anthropic_before=errors.ANTHROPIC_BEFORE,
        anthropic_after=errors.ANTHROPIC_AFTER.replace("{id}", "%[var(txn.id)]"),
        retry_after=errors.RETRY_AFTER,
        reason_header=errors.REASON_HEADER,
        model_key=_KEY,
        without_model_key=_quoted(f'{_argument(_KEY)},""'),
        form_model=_FORM_MODEL,
        form_model_only=_quoted(f"{_argument(f'(?s)^.*?{_FORM_MODEL}.*$')},{_argument(_FIRST_GROUP)}"),
        nobody=_NOBODY,
        address_header=ADDRESS_HEADER,
        probe_key_id=PROBE_KEY_ID,
        model_twice=_MODEL_TWICE,
        log_format=_log_format(settings),
        **_traces(settings),
        http_errors="\n".join(_http_error(each, settings) for each in errors.SAID_BY_HAPROXY),
        **{f"map_{name}": str(settings.maps / f"{name}.map") for name in (*NAMES, *TOLD)},
        **_returns(settings),
    )


def _numbers(settings: Settings) -> dict[str, int]:
    names = (
        "threads", "max_connections", "busy_connections", "buffer_size", "large_body", "small_body", "largest_read",
        "inner_port", "header_timeout", "body_timeout", "client_timeout", "connect_timeout", "server_timeout",
        "drain_timeout", "limited_keys", "activator_timeout",
    )  # fmt: skip
    return {name: getattr(settings, name) for name in names} | {"small_body_and_one": settings.small_body + 1}


def _bind(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ipaddress.ip_address(address).version == 6 else f"{address}:{port}"


def _returns(settings: Settings) -> dict[str, str]:
    found = {name: _return(value, settings) for name, value in vars(errors).items() if isinstance(value, ApiError)}
    for method in ("GET", "POST"):
        found[f"METHOD_NOT_ALLOWED_{method}"] = f"{found['METHOD_NOT_ALLOWED']} hdr allow {method}"
    return found


def _return(error: ApiError, settings: Settings) -> str:
    return f"return status {error.status} {_answer(error, settings)}"


def _http_error(error: ApiError, settings: Settings) -> str:
    return f"  http-error status {error.status} {_answer(error, settings)}"


def _answer(error: ApiError, settings: Settings) -> str:
    """The arguments that `return` and `http-error` share."""
    kind = error.type if error.type == error.anthropic_type else "{type}"
    body = _literal(error.body("{before}", kind, "{after}", **settings.body_limits))
    body = body.replace("{before}", "%[var(txn.before)]").replace("{after}", "%[var(txn.after)]")
    body = body.replace("{type}", f"%[var(txn.anthropic),iif({error.anthropic_type},{error.type})]")
    body = body.replace("{model}", "%[var(txn.model),bytes(0,128),json(utf8s)]")
    body = body.replace("{limit}", f"%[var(txn.{_LIMITS.get(error, 'requests')})]")
    body = body.replace("{reset}", "%[var(txn.reset)]").replace("{budget}", "%[var(txn.block),field(2,|)]")
    body = body.replace("{url}", "%[var(txn.method),json(utf8s)] %[var(txn.path)]")
    said = ((errors.REASON_HEADER, error.reason), *error.headers)
    headers = "".join(f" hdr {name} {_quoted(_literal(value))}" for name, value in said)
    return f"content-type application/json lf-string {_quoted(body)}{headers}"


def _literal(text: str) -> str:
    return text.replace("%", "%%")


def _argument(text: str) -> str:
    """Text as one argument of a converter."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _traces(settings: Settings) -> dict[str, str]:
    """The parts of the configuration that are there only where traces are wanted."""
    if not settings.tracing_endpoint:
        return {"trace_log": "", "trace_ids": "", "trace_header": ""}
    return {
        "trace_log": f"  log {settings.trace_socket} len 8192 format raw daemon info",
        "trace_ids": IDS.format(samples=settings.tracing_samples_per_million),
        "trace_header": PASSED_ON,
    }


def _log_format(settings: Settings) -> str:
    """One JSON object a line: who, what, how long; no body, no query, no key, and no id of a key that was refused."""
    return (
        '{"time":"%[date,utime(%Y-%m-%dT%H:%M:%SZ)]","request_id":"%[var(txn.id)]","method":"%[var(txn.method),json(utf8s)]",'
        '"path":"%[var(txn.path)]","route":"%[var(txn.route)]","key":"%[var(txn.key)]",'
        '"tenant":"%[var(txn.key_namespace)]","status":%ST,"reason":"%[var(txn.reason)]",'
        '"bytes_in":%U,"bytes_out":%B,"ms":{"request":%TR,"connect":%Tc,"first_byte":%Tr,"total":%Ta},"end":"%ts"'
        f"{LOGGED if settings.tracing_endpoint else ''}}}"
    )
