"""Ray Serve's HTTP proxies: what they say themselves (no replica, queue full, replica lost) in OpenAI's shape.

Each proxy calls `middlewares`: RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH=llmservice_worker.proxy:middlewares
"""

from starlette.middleware import Middleware

from llmservice_worker.errors import LOST
from llmservice_worker.shaping import ErrorShaping


def middlewares() -> list[Middleware]:
    """The proxies' middlewares; no answer (its replica died) is a 502, which the gateway repeats."""
    return [Middleware(ErrorShaping, broken=LOST)]
