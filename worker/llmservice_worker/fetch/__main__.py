"""`python -m llmservice_worker.fetch`: the init container that brings a model into the pod's volume.

LLMSERVICE_FETCH holds FetchArgs as JSON; credentials are files. It ends only when the model is there: KubeRay deletes
a pod whose container fails, with all that it had downloaded. Until then /progress tells how far it is, or why not.
"""

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from llmservice_worker.fetch import server
from llmservice_worker.fetch.credentials import Mounted, credentials, mounted
from llmservice_worker.fetch.failure import FetchFailed, Reason
from llmservice_worker.fetch.fetching import Fetcher, model_check
from llmservice_worker.fetch.progress import Meter, line
from llmservice_worker.fetch.source import ENVIRONMENT, FetchArgs
from llmservice_worker.fetch.store import Fetched

_log = logging.getLogger(__name__)

_LINE_S: Final = 5.0
_LOOK_S: Final = 1.0
_LONGEST_WAIT_S: Final = 300.0


def main(environment: Mapping[str, str], rest: Callable[[float], None] = time.sleep) -> int:
    """Exit 0 when the source is there whole, 2 on wrong arguments."""
    try:
        args = FetchArgs.model_validate_json(environment.get(ENVIRONMENT, ""))
    except ValidationError as error:
        print(f"llmservice-fetch: {ENVIRONMENT} is not what it must be: {error}", file=sys.stderr)
        return 2
    meter = Meter(time.monotonic)
    with server.serving(args.port, meter.snapshot), _told(meter):
        fetched = fetched_at_last(args, meter, rest)
    said = json.dumps({"digest": fetched.digest, "bytes": fetched.bytes})
    Path(args.termination_log).write_text(said, encoding="utf-8")
    print(f"llmservice-fetch: {args.source.uri}: {said}", flush=True)
    return 0


def fetched_at_last(args: FetchArgs, meter: Meter, rest: Callable[[float], None]) -> Fetched:
    """Try until it succeeds, at growing distances, and at once when the credentials change."""
    folder, waits = Path(args.credentials), 10.0
    while True:
        known = mounted(folder)
        found = _tried(args, known, meter)
        if isinstance(found, Fetched):
            return found
        meter.failure = found
        print(f"llmservice-fetch: {found.reason}: {found.message}; next try in {waits:.0f} s", flush=True)
        left = waits
        while left > 0 and mounted(folder) == known:
            rest(_LOOK_S)
            left -= _LOOK_S
        waits = min(waits * 2, _LONGEST_WAIT_S)


def _tried(args: FetchArgs, known: Mounted, meter: Meter) -> Fetched | FetchFailed:
    """One try. An end of the process would cost the pod and its whole download, so no error ends it."""
    try:
        fetcher = Fetcher(Path(args.root), credentials(known), meter, model_check(args.source))
        return fetcher.fetch(args.source)
    except FetchFailed as failure:
        return failure
    except Exception as error:  # noqa: BLE001 - the outermost place; logged, and tried again
        _log.exception("llmservice-fetch: an error that nobody foresaw")
        return FetchFailed(
            Reason.SOURCE_UNREACHABLE,
            f"{args.source.uri} cannot be fetched ({type(error).__name__}): see the log of the pod's container fetch",
        )


@contextmanager
def _told(meter: Meter) -> Iterator[None]:
    """A line of progress every few seconds while the body runs, and nothing between two tries."""
    begun, over = time.monotonic(), threading.Event()

    def tell() -> None:
        while not over.wait(_LINE_S):
            if meter.failure is None:
                print(line(meter.snapshot(), meter.rate(), time.monotonic() - begun), flush=True)

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()


if __name__ == "__main__":
    # The first process of a container gets no default handler, and a pod's grace is as long as its drain.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    sys.exit(main(os.environ))
