"""LLMService: a model, and how it is served. The shortest names a model source and nothing else."""

from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field

from llmservice_api.base import DNS_SUBDOMAIN, ApiModel, Duration, ModelName, ObjectName, SecretReference, rules
from llmservice_api.engine import Engine
from llmservice_api.llmservice_status import LLMServiceStatus
from llmservice_api.names import NAME_MAX
from llmservice_api.pricing import Pricing
from llmservice_api.scaling import Replicas, Scaling
from llmservice_api.task_templates import TaskTemplates

_SOURCE = (
    r"^(hf://[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*"
    r"|(s3|gs)://[a-z0-9][a-z0-9.-]+(/[A-Za-z0-9._=/-]*)?"
    r"|pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/[A-Za-z0-9._/-]*)?"
    r"|https?://[A-Za-z0-9.-]+(:[0-9]+)?/[A-Za-z0-9._~%/-]+)$"
)

_NO_PARENT: Final = (
    "!self.contains('/../') && !self.endsWith('/..')",
    "must not contain '..': name the directory itself",
)

Source = Annotated[str, Field(pattern=_SOURCE, min_length=6, max_length=1024)]


class ModelSpec(ApiModel):
    """Which model, and what applications call it."""

    source: Source = Field(
        description="Where the weights are: hf://org/name, pvc://claim/path, s3://, gs://, http(s)://.",
        json_schema_extra=rules(_NO_PARENT),
    )
    revision: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$",
        max_length=128,
        description="Commit, tag or branch of a hf:// source; pin a commit.",
    )
    name: ModelName | None = Field(
        default=None, description="Name in the API (`model` of a request); default: metadata.name."
    )
    aliases: list[ModelName] = Field(
        default=[],
        max_length=16,
        description="Further names, so that applications work unchanged.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    credentials_secret_ref: SecretReference | None = Field(
        default=None,
        description="Secret with `token` (hf://), or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (s3://, gs://).",
    )
    sha256: str | None = Field(
        default=None, pattern=r"^[0-9a-f]{64}$", max_length=64, description="Digest of a http(s):// archive."
    )
    endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://[A-Za-z0-9.-]+(:[0-9]+)?(/[A-Za-z0-9._~/-]*)?$",
        max_length=512,
        description="Mirror of the hub (hf://), or the S3 server (s3://, gs://); default: the public one.",
    )
    cache_claim: ObjectName | None = Field(
        default=None,
        description="PersistentVolumeClaim that downloads are kept in, once for all replicas; default: each pod's own.",
    )
    prefetch: bool = Field(
        default=False, description="Whether the model is brought into cacheClaim before any replica is asked for."
    )
    tasks: list[Literal["Generate", "Embed", "Score", "Classify", "Transcribe"]] = Field(
        default=["Generate"],
        min_length=1,
        max_length=5,
        description="What the model is asked for, which decides the routes that exist.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    media_hosts: list[Annotated[str, Field(pattern=DNS_SUBDOMAIN, max_length=253)]] = Field(
        default=[],
        max_length=64,
        description="Hosts that images and audios of requests may come from; empty: only data: URLs.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    trust_remote_code: bool = Field(
        default=False, description="Whether the model may run code of its own; its pool must allow it."
    )

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.revision) || self.source.startsWith('hf://')",
                "revision goes with a hf:// source: remove it, or name the version in the source's path",
            ),
            (
                "!self.source.startsWith('http') || has(self.sha256)",
                "a http(s):// source needs sha256: the digest of the archive",
            ),
            (
                "!has(self.cacheClaim) || !self.source.startsWith('pvc://')",
                "cacheClaim goes with a source that is downloaded: remove it, the model is on a volume already",
            ),
            (
                "!has(self.prefetch) || !self.prefetch || has(self.cacheClaim)",
                "prefetch needs a cacheClaim: without one each replica downloads for itself",
            ),
            (
                "!has(self.endpoint) || self.source.matches('^(hf|s3|gs)://')",
                "endpoint goes with a hf://, s3:// or gs:// source: remove it",
            ),
            (
                "!has(self.sha256) || self.source.startsWith('http')",
                "sha256 goes with a http(s):// source: remove it",
            ),
            (
                "!has(self.tasks) || !self.tasks.exists(t, t in ['Generate', 'Transcribe']) || "
                "!self.tasks.exists(t, t in ['Embed', 'Score', 'Classify'])",
                "tasks mixes generating (Generate, Transcribe) with pooling (Embed, Score, Classify): use two services",
            ),
            (
                "!has(self.name) || !has(self.aliases) || !(self.name in self.aliases)",
                "aliases repeats name: remove it there",
            ),
        )
    )


class Placement(ApiModel):
    """Where replicas may run."""

    pools: list[ObjectName] = Field(
        default=[],
        max_length=16,
        description="GPUPools in order of preference; empty: the cheapest that fits.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    fallback_after: Duration = Field(
        default="10m", description="How long a pod may wait for a node before the next of the pools is tried."
    )


class Hold(ApiModel):
    """How requests wait for a replica, or for a place in its batch; beyond it they get 503 and Retry-After."""

    max_wait: Duration = Field(default="5m", description="Longest wait for a replica.")
    max_requests: Annotated[int, Field(ge=0, le=100000)] = Field(
        default=200,
        description="Most that wait: at each gateway for a first replica, and at each replica beyond its batch.",
    )


class Endpoint(ApiModel):
    """An Ingress of the service's own, beside the gateway's."""

    host: str = Field(pattern=DNS_SUBDOMAIN, max_length=253, description="Host name of the Ingress.")
    ingress_class_name: ObjectName | None = Field(default=None, description="Default: the cluster's default class.")
    tls_secret_name: ObjectName | None = Field(
        default=None, description="TLS Secret, in the gateway's namespace (where the Ingress is made)."
    )


class Access(ApiModel):
    """Who may call."""

    mode: Literal["Keys", "Open"] = Field(
        default="Keys", description="Keys: an APIKey of this namespace; Open: anybody who reaches the URL."
    )


class Adapter(ApiModel):
    """A LoRA adapter, served under a name of its own."""

    name: ModelName = Field(description="Name in the API.")
    source: Source = Field(
        description="Where the adapter is: pvc://claim/path, hf://org/name, s3://, gs://.",
        json_schema_extra=rules(
            _NO_PARENT,
            ("!self.startsWith('http')", "adapters come from pvc://, hf://, s3:// or gs://: unpack the archive there"),
        ),
    )


class DynamicAdapters(ApiModel):
    """Adapters that nobody names in the spec: `<model>:<name>` is loaded from `<source>/<name>` at its first use."""

    source: Source = Field(
        description="Folder of the adapters: pvc://claim/path, s3://, gs://.",
        json_schema_extra=rules(
            _NO_PARENT,
            (
                "self.startsWith('pvc://') || self.startsWith('s3://') || self.startsWith('gs://')",
                "a folder of adapters is on pvc://, s3:// or gs://",
            ),
        ),
    )


class Rollout(ApiModel):
    """How a new revision takes the place of the old."""

    strategy: Literal["BlueGreen", "Recreate"] = Field(
        default="BlueGreen", description="BlueGreen: beside the old; Recreate: the old goes first (downtime)."
    )
    progress_deadline: Duration = Field(default="30m", description="When a revision that is not up counts as failed.")
    drain: Duration = Field(default="5m", description="How long the old revision may finish what it has begun.")


class LLMServiceSpec(ApiModel):
    """What is wanted."""

    model: ModelSpec = Field(description="Which model.")
    engine: Engine = Field(default=Engine(), description="How vLLM runs it.")
    placement: Placement = Field(default=Placement(), description="Where it may run.")
    replicas: Replicas | None = Field(
        default=None,
        description="A fixed count (kubectl scale), default 1 without `scaling`; 0 sleeps until a request.",
    )
    scaling: Scaling | None = Field(default=None, description="Autoscaling on queue depth, in place of `replicas`.")
    hold: Hold = Field(default=Hold(), description="What happens to requests while no replica is up.")
    endpoint: Endpoint | None = Field(default=None, description="An own host; default: the gateway's URL.")
    access: Access = Field(default=Access(), description="Who may call.")
    adapters: list[Adapter] = Field(
        default=[],
        max_length=64,
        description="LoRA adapters.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    dynamic_adapters: DynamicAdapters | None = Field(default=None, description="Adapters loaded at their first use.")
    task_templates: TaskTemplates = Field(default=TaskTemplates(), description="Prompts of /v1/tasks/….")
    pricing: Pricing | None = Field(default=None, description="What tokens cost; default: the prices of its GPUPool.")
    rollout: Rollout = Field(default=Rollout(), description="How changes roll out.")
    paused: bool = Field(default=False, description="True: the operator leaves the service as it is.")

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!(has(self.replicas) && has(self.scaling))",
                "replicas and scaling exclude each other: remove scaling for a fixed count, or replicas to autoscale",
            ),
            (
                "!has(self.scaling) || !has(self.scaling.hibernateAfter) || self.hold.maxRequests > 0",
                "hibernateAfter needs hold.maxRequests over 0: a request that is held is what brings the service back",
            ),
        )
    )


class LLMService(ApiModel):
    """A model served behind an OpenAI-compatible endpoint."""

    spec: LLMServiceSpec = Field(description="What is wanted.")
    status: LLMServiceStatus | None = Field(default=None, description="What was observed.")

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                f"size(self.metadata.name) <= {NAME_MAX}",
                f"metadata.name is longer than {NAME_MAX} characters: choose a shorter one",
            ),
            (
                "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
                "metadata.name must begin with a letter and hold a-z, 0-9 and - only, since a Service bears it",
            ),
            (
                "!has(self.spec.adapters) || !self.spec.adapters.exists(a, a.name == "
                "(has(self.spec.model.name) ? self.spec.model.name : self.metadata.name))",
                "an adapter bears the model's name: give it another",
            ),
            (
                "!has(self.spec.adapters) || !has(self.spec.model.aliases) || "
                "!self.spec.adapters.exists(a, a.name in self.spec.model.aliases)",
                "an adapter bears an alias of the model: give it another name",
            ),
        ),
    )
