"""Status of an LLMService: what was observed, never what is wanted."""

from pydantic import Field

from llmservice_api.base import ApiModel
from llmservice_api.pricing import Pricing
from llmservice_api.status import Conditioned


class RevisionStatus(ApiModel):
    """Which revision answers, and which one is coming."""

    active: str | None = Field(default=None, description="Revision that the route leads to.")
    pending: str | None = Field(default=None, description="Revision that is coming up.")
    pending_since: str | None = Field(default=None, description="When the pending revision was begun, RFC 3339.")
    draining_since: str | None = Field(default=None, description="When the route left the older revisions, RFC 3339.")
    no_room_beside: str | None = Field(
        default=None, description="Why the revision before went before the pending one is up, where it did."
    )


class PassedOver(ApiModel):
    """A pool that had no node when one was wanted."""

    pool: str = Field(description="GPUPool.")
    since: str = Field(description="When its pods had waited for too long, RFC 3339.")
    times: int = Field(description="How often in a row; tried again after 10m, then after twice as long each time.")


class PlacementStatus(ApiModel):
    """Where it runs."""

    pool: str | None = Field(default=None, description="GPUPool chosen.")
    reason: str | None = Field(default=None, description="Why this pool.")
    accelerators: int | None = Field(default=None, description="Accelerators of one replica.")
    memory: str | None = Field(default=None, description="Estimated memory that each of them needs.")
    cost_per_hour: str | None = Field(
        default=None, description="Price of what the desired replicas take of the pool's nodes, for an hour."
    )
    passed_over: list[PassedOver] | None = Field(default=None, description="Pools that had no node.")


class ModelShape(ApiModel):
    """What its memory is estimated from."""

    of: str = Field(description="Source and revision that this is of.")
    weights: int = Field(description="Bytes of the weights' files.")
    stored_bits: int = Field(description="Bits of one weight; 0: quantized.")
    cached: int = Field(description="Numbers that the cache keeps of one token.")
    kv_heads: int = Field(description="Heads that keep keys and values.")
    heads: int = Field(description="Attention heads.")
    max_tokens: int = Field(description="Longest context.")


class ModelStatus(ApiModel):
    """The model's name in the API, and what its weights turned out to be."""

    name: str = Field(description="Name in the API.")
    digest: str | None = Field(default=None, description="sha256:… over the names and digests of the model's files.")
    bytes: int | None = Field(default=None, description="Size of the model's files.")
    shape: ModelShape | None = Field(default=None, description="What its config.json says, where it is public.")


class ProgressStatus(ApiModel):
    """How far a start has come."""

    phase: str = Field(description="Waiting, Downloading, Verifying, Starting.")
    percent: int | None = Field(default=None, description="Of the bytes to download.")
    bytes: int | None = Field(default=None, description="Bytes that are here.")
    total_bytes: int | None = Field(default=None, description="Bytes in all.")
    eta_seconds: int | None = Field(default=None, description="Seconds left, as the rate of the last minute says.")


class ColdStartStatus(ApiModel):
    """How long the newest replica took to come up, in whole seconds."""

    node: int = Field(description="Until a node took its pod: a new node is waited for here.")
    image: int = Field(description="Until its first container ran: the image is pulled here.")
    weights: int = Field(description="Fetching the model; 0 where it is on a volume.")
    engine: int = Field(description="From the engine's process to an engine that is warm: weights loaded, asked once.")
    warm_up: int | None = Field(default=None, description="Of that the first requests, as the replica says.")
    total: int = Field(description="From the pod's creation until it was Ready.")


class ScalingStatus(ApiModel):
    """A decision on the number of replicas, and why."""

    from_replicas: int = Field(description="Replicas that were ordered before.")
    to_replicas: int = Field(description="Replicas that were ordered then.")
    reason: str = Field(
        description="Rate, QueueDepth, Idle: the rule on queue depth. Bounds: they changed, or Ray Serve began anew. "
        "Woken: requests came while nothing ran."
    )
    message: str = Field(description="The numbers that it followed from.")
    at: str = Field(description="When, RFC 3339.")


class AdapterStatus(ApiModel):
    """One adapter."""

    name: str = Field(description="Name in the API.")
    state: str = Field(description="Loaded, Loading or Failed.")
    reason: str | None = Field(default=None, description="Why it failed, in one word.")
    message: str | None = Field(default=None, description="Why it failed, and what to do.")


class Wake(ApiModel):
    """What one gateway said of requests that it held for a service that sleeps."""

    requested_at: str = Field(description="When it said so, RFC 3339.", json_schema_extra={"format": "date-time"})
    requests: int = Field(ge=1, description="The most that it held at once in that wake.")


class LLMServiceStatus(Conditioned):
    """What was observed."""

    url: str | None = Field(default=None, description="Base URL for OpenAI clients.")
    address: str | None = Field(
        default=None, description="<ip>:<port> of the active revision, else of the one that comes up; for the gateway."
    )
    host: str | None = Field(default=None, description="Own host that the gateway takes for this service.")
    model: ModelStatus | None = Field(default=None, description="What is served.")
    desired_replicas: int | None = Field(default=None, description="Replicas wanted.")
    replicas: int | None = Field(default=None, description="Replicas that run.")
    selector: str | None = Field(default=None, description="Labels of the worker pods, for the scale subresource.")
    scaling: ScalingStatus | None = Field(default=None, description="Last decision of what scales it, where it scales.")
    revision: RevisionStatus | None = Field(default=None, description="Active and pending revision.")
    progress: ProgressStatus | None = Field(default=None, description="While a revision starts.")
    adapters: list[AdapterStatus] | None = Field(default=None, description="Adapters of the active revision.")
    pricing: Pricing | None = Field(default=None, description="What tokens cost, by which usage is charged.")
    wake_requested_at: str | None = Field(
        default=None,
        description="When a request last waited for a service that sleeps, RFC 3339; the gateway's word.",
        json_schema_extra={"format": "date-time"},
    )
    wakes: dict[str, Wake] | None = Field(
        default=None,
        description="By the gateway pod that says so; together they say how many replicas a wake brings.",
    )
    last_cold_start: str | None = Field(
        default=None, description="When the pod was created that coldStartSeconds tells of, RFC 3339."
    )
    cold_start_seconds: ColdStartStatus | None = Field(default=None, description="Of the newest replica, by phase.")
    idle_since: str | None = Field(
        default=None, description="When its last replica went, RFC 3339, where scaling.hibernateAfter is set."
    )
    placement: PlacementStatus | None = Field(default=None, description="Pool chosen.")
