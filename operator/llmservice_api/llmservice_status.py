"""Status of an LLMService: what was observed, never what is wanted."""

from pydantic import Field

from llmservice_api.base import ApiModel
from llmservice_api.status import Conditioned


class RevisionStatus(ApiModel):
    """Which revision answers, and which one is coming."""

    active: str | None = Field(default=None, description="Revision that the route leads to.")
    pending: str | None = Field(default=None, description="Revision that is coming up.")
    pending_since: str | None = Field(default=None, description="When the pending revision was begun, RFC 3339.")
    draining_since: str | None = Field(default=None, description="When the route left the older revisions, RFC 3339.")


class PlacementStatus(ApiModel):
    """Where it runs."""

    pool: str = Field(description="GPUPool chosen.")
    reason: str = Field(description="Why this pool.")


class LLMServiceStatus(Conditioned):
    """What was observed."""

    url: str | None = Field(default=None, description="Base URL for OpenAI clients.")
    address: str | None = Field(default=None, description="<ip>:<port> of the active revision, for the gateway.")
    host: str | None = Field(default=None, description="Own host that the gateway takes for this service.")
    model: str | None = Field(default=None, description="Name of the model in the API.")
    desired_replicas: int | None = Field(default=None, description="Replicas wanted.")
    replicas: int | None = Field(default=None, description="Replicas that run.")
    selector: str | None = Field(default=None, description="Labels of the worker pods, for the scale subresource.")
    queue_depth: int | None = Field(default=None, description="Waiting and running requests.")
    revision: RevisionStatus | None = Field(default=None, description="Active and pending revision.")
    placement: PlacementStatus | None = Field(default=None, description="Pool chosen.")
