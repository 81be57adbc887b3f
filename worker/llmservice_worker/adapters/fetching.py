"""Adapters from elsewhere, with the code that models are fetched with."""

import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from llmservice_worker.adapters.checks import FILES, Fault
from llmservice_worker.args import ADAPTER_ENDPOINTS
from llmservice_worker.fetch.credentials import credentials, mounted
from llmservice_worker.fetch.failure import FetchFailed
from llmservice_worker.fetch.fetching import Fetcher
from llmservice_worker.fetch.progress import Meter
from llmservice_worker.fetch.source import SECRETS, Source, protocol


class AdapterFetch:
    """Fetches into an empty directory; `environment` holds ADAPTER_ENDPOINTS, `secrets` a file for each credential."""

    def __init__(self, environment: Mapping[str, str], secrets: Path = Path(SECRETS)) -> None:
        self._secrets = secrets
        self._endpoints = {group: environment.get(name) for group, name in ADAPTER_ENDPOINTS.items()}

    def __call__(self, uri: str, directory: Path) -> None:
        """Bring the adapter's files; raises Fault. Blocks."""
        with tempfile.TemporaryDirectory(dir=directory.parent) as draft:
            source = Source(uri=uri, endpoint=self._endpoints.get(protocol(uri)))
            try:
                known = credentials(mounted(self._secrets))
                Fetcher(Path(draft), known, Meter(time.monotonic), check=lambda _: None).fetch(source)
            except FetchFailed as failed:
                message = failed.message.replace("spec.model.source", "the adapter's source")
                raise Fault(str(failed.reason), message) from None
            for name in FILES:
                if Path(source.directory(draft), name).is_file():
                    shutil.move(Path(source.directory(draft), name), directory / name)
