"""What is to be fetched, and the name of its directory: shared with the operator, so pydantic only."""

import hashlib
import json
from typing import Final

from pydantic import Field

from llmservice_worker.args import Part

MODELS: Final = "/cache/models"
"""Where sources lie in a pod, each in a directory of its key."""
ENVIRONMENT: Final = "LLMSERVICE_FETCH"
"""The variable that holds FetchArgs as JSON."""
SECRETS: Final = "/credentials"
"""Where the source's Secret is mounted: as files, so that a corrected one is seen by the next try."""
TOKEN: Final = "token"
AWS: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION")
"""Keys of the Secret: of hf://, and of s3:// and gs://."""

_KEY_LENGTH: Final = 32
_PROTOCOLS: Final = {"gs": "s3"}


def protocol(uri: str) -> str:
    """The scheme by whose protocol, and with whose credentials, a URI is asked: gs:// is asked as s3:// is."""
    scheme = uri.split("://", 1)[0]
    return _PROTOCOLS.get(scheme, scheme)


class Source(Part):
    """A model or an adapter elsewhere; all that decides its bytes, and no secret."""

    uri: str = Field(min_length=6, max_length=1024, description="hf://, s3://, gs://, http:// or https://.")
    revision: str | None = Field(default=None, max_length=128, description="Commit, tag or branch, of hf://.")
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$", description="Of an archive.")
    endpoint: str | None = Field(default=None, max_length=512, description="Mirror of the hub, or S3 server.")
    pickles: bool = Field(default=False, description="Whether weights that can run code may be taken.")

    @property
    def scheme(self) -> str:
        """What stands before `://`."""
        return self.uri.split("://", 1)[0]

    @property
    def key(self) -> str:
        """The name of its directory: another for each source whose bytes may be others."""
        said = json.dumps(self.model_dump(exclude_defaults=True), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(said.encode()).hexdigest()[:_KEY_LENGTH]

    def directory(self, root: str = MODELS) -> str:
        """Where it lies once it is fetched."""
        return f"{root}/{self.key}"


class FetchArgs(Part):
    """What the init container is told."""

    source: Source
    credentials: str = Field(default=SECRETS, description="Folder with a file for each credential there is.")
    root: str = Field(default=MODELS, description="The volume's folder for sources.")
    port: int = Field(default=8091, ge=0, le=65535, description="Of GET /progress.")
    termination_log: str = Field(default="/dev/termination-log", description="Where the outcome is written.")
