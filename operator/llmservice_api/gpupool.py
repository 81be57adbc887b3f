"""GPUPool: what a node pool is, so that a model can be placed on it."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from llmservice_api.base import INT32_MAX, ApiModel, Quantity, rules
from llmservice_api.pricing import Pricing
from llmservice_api.status import Conditioned


class Accelerator(ApiModel):
    """The accelerators of one node of the pool."""

    resource: str = Field(
        default="nvidia.com/gpu",
        pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9][-A-Za-z0-9._]*$",
        max_length=128,
        description="Extended resource that a pod asks for.",
    )
    memory: Quantity = Field(description="Memory of one accelerator, such as 24Gi.")
    per_node: int = Field(default=1, ge=1, le=64, description="Accelerators on one node.")
    product: str | None = Field(
        default=None, max_length=128, description="Product name, for people (such as NVIDIA-L4)."
    )


class Toleration(ApiModel):
    """A toleration, as in a pod."""

    key: str | None = Field(default=None, max_length=317, description="Taint key; empty matches all with Exists.")
    operator: Literal["Equal", "Exists"] = Field(default="Equal", description="How key and value are compared.")
    value: str | None = Field(default=None, max_length=63, description="Taint value, with Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Taint effect; absent matches all."
    )
    toleration_seconds: int | None = Field(
        default=None, ge=0, description="How long NoExecute is tolerated, in seconds."
    )


class WorkerResources(ApiModel):
    """What one worker pod asks of its node, beside accelerators."""

    cpu: Quantity = Field(default="1", description="CPU request of a worker pod.")
    memory: Quantity = Field(default="8Gi", description="Memory request and limit of a worker pod.")
    threads: int = Field(
        default=1, ge=1, le=256, description="CPUs that Ray counts for one engine; on a CPU pool, its threads."
    )
    kv_cache: Quantity = Field(default="1Gi", description="KV cache of one engine on a pool with no accelerator.")


class GPUPoolSpec(ApiModel):
    """A pool of nodes that are alike; a CPU pool has no accelerator."""

    accelerator: Accelerator | None = Field(default=None, description="Absent on a CPU pool.")
    worker: WorkerResources = Field(default=WorkerResources(), description="Resources of one worker pod.")
    node_selector: dict[str, Annotated[str, Field(max_length=63)]] = Field(
        default={}, max_length=32, description="Labels of the pool's nodes."
    )
    tolerations: list[Toleration] = Field(default=[], max_length=32, description="Taints of the pool's nodes.")
    image: str = Field(
        pattern=r"^[a-z0-9][A-Za-z0-9._:/@-]*$",
        min_length=1,
        max_length=512,
        description="Worker image; pin it by digest.",
    )
    spot: bool = Field(default=False, description="Whether the nodes may be taken away at short notice.")
    price_per_hour: str | None = Field(
        default=None,
        pattern=r"^[0-9]+(\.[0-9]+)?$",
        max_length=32,
        description="Price of one node for an hour; the cheapest pool that fits is the default placement.",
    )
    pricing: Pricing | None = Field(
        default=None, description="What tokens cost here, of services that have no prices of their own."
    )
    max_nodes: int | None = Field(default=None, ge=0, le=INT32_MAX, description="Most nodes that the pool may have.")
    allow_trust_remote_code: bool = Field(
        default=False, description="Whether models that run code of their own may be placed here."
    )

    allow_pickled_weights: bool = Field(
        default=False,
        description="Whether weights other than safetensors may be loaded here: files that can run code.",
    )

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.maxNodes) || self.maxNodes > 0",
                "maxNodes is 0, so nothing can be placed here: raise maxNodes or delete the pool",
            )
        )
    )


class GPUPoolStatus(Conditioned):
    """What was seen of the pool."""

    nodes: int | None = Field(default=None, description="Nodes that bear the pool's labels.")


class GPUPool(ApiModel):
    """A node pool that models are placed on."""

    spec: GPUPoolSpec = Field(description="What the pool is.")
    status: GPUPoolStatus | None = Field(default=None, description="What was observed.")
