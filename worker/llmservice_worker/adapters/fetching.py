"""Adapters from elsewhere, with the code that models are fetched with."""

import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from llmservice_worker.adapters.checks import FILES, Fault
from llmservice_worker.args import ADAPTER_ENDPOINTS
from llmservice_worker.fetch.failure import FetchFailed
from llmservice_worker.fetch.fetching import CREDENTIALS, Fetcher
from llmservice_worker.fetch.progress import Meter
from llmservice_worker.fetch.source import Source, protocol


class AdapterFetch:
    """Fetches into an empty directory; `environment` holds the credentials, as for models, and ADAPTER_ENDPOINTS."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._credentials = {name: value for name in CREDENTIALS if (value := environment.get(name))}
        self._endpoints = {group: environment.get(name) for group, name in ADAPTER_ENDPOINTS.items()}

    def __call__(self, uri: str, directory: Path) -> None:
        """Bring the adapter's files; raises Fault. Blocks."""
        with tempfile.TemporaryDirectory(dir=directory.parent) as draft:
            source = Source(uri=uri, endpoint=self._endpoints.get(protocol(uri)))
            fetcher = Fetcher(Path(draft), self._credentials, Meter(time.monotonic), check=lambda _: None)
            try:
                fetcher.fetch(source)
            except FetchFailed as failed:
                message = failed.message.replace("spec.model.source", "the adapter's source")
                raise Fault(str(failed.reason), message) from None
            for name in FILES:
                if Path(source.directory(draft), name).is_file():
                    shutil.move(Path(source.directory(draft), name), directory / name)
