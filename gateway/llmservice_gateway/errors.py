"""Every error that the gateway itself says, in one table, in OpenAI's shape and in Anthropic's."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

INVALID: Final = "invalid_request_error"
SERVER: Final = "server_error"
RETRY_AFTER: Final = "2"
"""Seconds after which to ask again where a model is busy or away, unless it says so itself."""
LARGE: Final = "{large}"
"""Stands in a message for the bytes that a body may have."""
MODEL: Final = "{model}"
"""Stands in a message for the model that the client named; whoever renders the error puts it in, escaped."""
LIMIT: Final = "{limit}"
"""Stands in a message for the number that a key's limit is."""
RESET: Final = "{reset}"
"""Stands in a message for the seconds to the next minute."""
BUDGET: Final = "{budget}"
"""Stands in a message for the name of a Budget."""
URL: Final = "{url}"
"""Stands in a message for the method and path that the client asked for."""

REASON_HEADER: Final = "x-llmservice-reason"
"""Of an error of ours, for HAProxy's log; HAProxy takes it out."""

ANTHROPIC_BEFORE: Final = '"type": "error", '
ANTHROPIC_AFTER: Final = ', "request_id": "{id}"'
"""What Anthropic's shape has around the error; `{id}` stands for the request's id."""

_ANTHROPIC: Final[Mapping[int, str]] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


@dataclass(frozen=True)
class ApiError:
    """One error. `code` and `type` are part of the interface: clients compare them; `message` is for people.

    `cause` is for log and metrics, where `code` does not tell what an operator must know.
    """

    status: int
    code: str
    message: str
    type: str = INVALID
    param: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    cause: str = ""

    @property
    def reason(self) -> str:
        """What log and metrics call it."""
        return self.cause or self.code

    @property
    def all_headers(self) -> dict[str, str]:
        """What goes with its body, on the way to HAProxy."""
        return {"content-type": "application/json", REASON_HEADER: self.reason, **dict(self.headers)}

    @property
    def anthropic_type(self) -> str:
        """The type by which Anthropic's clients tell errors apart."""
        return _ANTHROPIC.get(self.status, INVALID if self.status < 500 else "api_error")

    def anthropic_body(self, request_id: str, **values: str) -> str:
        """As `body`, in Anthropic's shape, where `param` and `code` are more than its clients look at."""
        return self.body(ANTHROPIC_BEFORE, self.anthropic_type, ANTHROPIC_AFTER, id=request_id, **values)

    def body(self, before: str = "", kind: str = "", after: str = "", **values: str) -> str:
        """The JSON text; `values` (JSON-escaped already) take the places of `{model}`, `{url}`, and so on.

        `before` and `after` stand around the error, `kind` in the place of its type, for another shape than OpenAI's.
        """
        error = {"message": self.message, "type": kind or self.type, "param": self.param, "code": self.code}
        text = f'{{{before}"error": {json.dumps(error, ensure_ascii=False)}{after}}}'
        for name, value in values.items():
            text = text.replace("{" + name + "}", value)
        return text


class Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(error.message)
        self.error = error


def escaped(text: str) -> str:
    """Text as it stands inside a JSON string."""
    return json.dumps(text)[1:-1]


BAD_REQUEST: Final = ApiError(400, "bad_request", "The request is not well-formed HTTP.")
BAD_HOST: Final = ApiError(400, "bad_host", "The Host header must be one plain host name, with or without a port.")
TWO_KEYS: Final = ApiError(400, "bad_request", "Send one key: one `Authorization` or one `x-api-key` header.")
BAD_TRANSFER_ENCODING: Final = ApiError(400, "bad_request", "Transfer-Encoding needs HTTP/1.1.")
BODY_NOT_JSON: Final = ApiError(400, "invalid_json", "The body must be a JSON object.")
BODY_TOO_COMPLEX: Final = ApiError(400, "invalid_json", "The body has too many fields, objects or arrays.")
FORM_NOT_SOUND: Final = ApiError(400, "invalid_form", "The form cannot be read: send it whole, as multipart/form-data.")
MODEL_MISSING: Final = ApiError(
    400,
    "missing_required_parameter",
    "The gateway found no string `model` at the top of the JSON body. "
    "Put it there, before deeply nested fields, or call /<namespace>/<name>/v1.",
    param="model",
)
MODEL_MISSING_IN_FORM: Final = ApiError(
    400,
    "missing_required_parameter",
    "The gateway found no field `model` in the form. Add it, or call /<namespace>/<name>/v1 of the model.",
    param="model",
)
MODEL_TWICE: Final = ApiError(400, "invalid_json", "The body names `model` more than once.", param="model")
INVALID_API_KEY: Final = ApiError(
    401,
    "invalid_api_key",
    "No valid API key was provided. Send `Authorization: Bearer <key>` (or `x-api-key: <key>`) "
    "with a key that is neither revoked nor expired.",
    headers=(("www-authenticate", "Bearer"),),
)
MODEL_NOT_FOUND: Final = ApiError(
    404,
    "model_not_found",
    f"The model `{MODEL}` does not exist or you do not have access to it.",
    param="model",
)
UNKNOWN_URL: Final = ApiError(404, "unknown_url", f"Unknown request URL: {URL}.")
METHOD_NOT_ALLOWED: Final = ApiError(405, "method_not_allowed", f"This URL does not take that method: {URL}.")
REQUEST_TIMEOUT: Final = ApiError(408, "request_timeout", "The request did not arrive in time.")
BODY_TOO_LARGE: Final = ApiError(413, "request_too_large", f"The body is larger than {LARGE} bytes.")
CONTENT_ENCODING: Final = ApiError(415, "unsupported_content_encoding", "Send the body without Content-Encoding.")
HEADERS_TOO_LARGE: Final = ApiError(431, "headers_too_large", "The headers are too many or too large.")
RATE_LIMIT: Final = ApiError(
    429, "rate_limit_exceeded", "Too many requests.", type="requests", headers=(("retry-after", RETRY_AFTER),)
)
REQUESTS_LIMIT: Final = ApiError(
    429,
    "rate_limit_exceeded",
    f"This key's limit of {LIMIT} requests in a minute is reached. Try again in {RESET} s.",
    type="requests",
    headers=(("retry-after", "60"),),
    cause="requests_limit",
)
TOKENS_LIMIT: Final = ApiError(
    429,
    "rate_limit_exceeded",
    f"This key's limit of {LIMIT} tokens in a minute is reached. Try again in {RESET} s.",
    type="tokens",
    headers=(("retry-after", "60"),),
    cause="tokens_limit",
)
PARALLEL_LIMIT: Final = ApiError(
    429,
    "rate_limit_exceeded",
    f"This key has {LIMIT} requests under way, as many as it may. Try again when one has ended.",
    type="requests",
    headers=(("retry-after", "1"),),
    cause="parallel_limit",
)
BUDGET_SPENT: Final = ApiError(
    429,
    "insufficient_quota",
    f"The budget `{BUDGET}` of this key is spent. Ask whoever is responsible for it.",
    type="insufficient_quota",
    headers=(("retry-after", "86400"), ("x-should-retry", "false")),
)
NOT_AN_ADMIN: Final = ApiError(
    403,
    "insufficient_permissions",
    "This key opens models only. Usage and costs take a key whose APIKey has `spec.role: Admin`.",
)
METERING_OFF: Final = ApiError(
    404, "metering_off", "This installation keeps no ledger, so usage and costs are not known: its metering is off."
)
LEDGER_AWAY: Final = ApiError(
    503,
    "service_unavailable",
    "The ledger does not answer.",
    type=SERVER,
    headers=(("retry-after", RETRY_AFTER),),
    cause="ledger_away",
)
UPSTREAM_REFUSED: Final = ApiError(400, "bad_request", "The model refused the request without saying why.")
INTERNAL: Final = ApiError(500, "internal_error", "The gateway failed on this request.", type=SERVER)
BAD_GATEWAY: Final = ApiError(502, "bad_gateway", "The model broke off before it answered.", type=SERVER)
UNAVAILABLE: Final = ApiError(
    503, "service_unavailable", "The model cannot be reached now.", type=SERVER, headers=(("retry-after", RETRY_AFTER),)
)
UPSTREAM_OVERLOADED: Final = ApiError(
    503,
    "overloaded",
    "The model has as many requests as it can take, or is not ready.",
    type=SERVER,
    headers=(("retry-after", RETRY_AFTER),),
)
UPSTREAM_FAILED: Final = ApiError(500, "internal_error", "The model failed on this request.", type=SERVER)
GATEWAY_FULL: Final = ApiError(
    503,
    "overloaded",
    "The gateway has as many connections as it can take.",
    type=SERVER,
    headers=(("retry-after", RETRY_AFTER), ("connection", "close")),
    cause="gateway_full",
)
NOT_SYNCED: Final = ApiError(
    503,
    "service_unavailable",
    "The gateway is starting.",
    type=SERVER,
    headers=(("retry-after", "1"),),
    cause="not_synced",
)
MODEL_NOT_READY: Final = ApiError(
    503,
    "model_not_ready",
    "The model is known, but nothing serves it yet.",
    type=SERVER,
    headers=(("retry-after", "10"),),
)
HOLD_FULL: Final = ApiError(
    503,
    "overloaded",
    "The model is being woken, and as many requests as may wait for it are waiting.",
    type=SERVER,
    headers=(("retry-after", "10"),),
    cause="hold_full",
)
HOLD_OVER: Final = ApiError(
    503,
    "model_not_ready",
    "The model did not come up within the time that requests wait for it.",
    type=SERVER,
    headers=(("retry-after", "10"),),
    cause="hold_over",
)
BODIES_FULL: Final = ApiError(
    503,
    "overloaded",
    "The gateway holds as many bodies as it can, of all keys or of this one.",
    type=SERVER,
    headers=(("retry-after", RETRY_AFTER),),
    cause="bodies_full",
)
GATEWAY_TIMEOUT: Final = ApiError(504, "gateway_timeout", "The model did not answer in time.", type=SERVER)

SAID_BY_HAPROXY: Final = (
    BAD_REQUEST,
    INVALID_API_KEY,
    UNKNOWN_URL,
    METHOD_NOT_ALLOWED,
    REQUEST_TIMEOUT,
    BODY_TOO_LARGE,
    RATE_LIMIT,
    INTERNAL,
    BAD_GATEWAY,
    UNAVAILABLE,
    GATEWAY_TIMEOUT,
)
"""What HAProxy answers by itself when a request or a server fails: one error per status."""
