"""`python -m llmservice_worker.fetch`: the init container that brings a model into the pod's volume.

LLMSERVICE_FETCH holds FetchArgs as JSON; credentials are in HF_TOKEN and AWS_…. The outcome is the termination message.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from llmservice_worker.fetch import server
from llmservice_worker.fetch.failure import FetchFailed
from llmservice_worker.fetch.fetching import CREDENTIALS, Fetcher, model_check, outcome
from llmservice_worker.fetch.progress import Meter, line
from llmservice_worker.fetch.source import ENVIRONMENT, FetchArgs
from llmservice_worker.fetch.store import Fetched

_LINE_S: Final = 5.0
_LONGEST_MESSAGE: Final = 3000
"""Characters; Kubernetes cuts a termination message at 4096 bytes, and cut JSON says nothing."""


def main(environment: Mapping[str, str]) -> int:
    """Exit 0 when the source is there whole, 1 when it cannot be had, 2 on wrong arguments."""
    try:
        args = FetchArgs.model_validate_json(environment.get(ENVIRONMENT, ""))
    except ValidationError as error:
        print(f"llmservice-fetch: {ENVIRONMENT} is not what it must be: {error}", file=sys.stderr)
        return 2
    meter = Meter(time.monotonic)
    with server.serving(args.port, meter.snapshot), _told(meter):
        result = _fetched(args, environment, meter)
    said = outcome(result)
    if "message" in said:
        said["message"] = said["message"][:_LONGEST_MESSAGE]
    Path(args.termination_log).write_text(json.dumps(said), encoding="utf-8")
    print(f"llmservice-fetch: {args.source.uri}: {json.dumps(said)}", flush=True)
    return 0 if isinstance(result, Fetched) else 1


def _fetched(args: FetchArgs, environment: Mapping[str, str], meter: Meter) -> Fetched | FetchFailed:
    credentials = {name: value for name in CREDENTIALS if (value := environment.get(name))}
    try:
        return Fetcher(Path(args.root), credentials, meter, model_check(args.source)).fetch(args.source)
    except FetchFailed as failure:
        return failure


@contextmanager
def _told(meter: Meter) -> Iterator[None]:
    """A line of progress every few seconds while the body runs."""
    begun, over = time.monotonic(), threading.Event()

    def tell() -> None:
        while not over.wait(_LINE_S):
            print(line(meter.snapshot(), meter.rate(), time.monotonic() - begun), flush=True)

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()


if __name__ == "__main__":
    sys.exit(main(os.environ))
