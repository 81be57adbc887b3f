"""What one reconcile decides upon: everything read beforehand, as one value that tests can write down."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from llmservice_api.gpupool import GPUPoolSpec
from llmservice_api.llmservice import LLMServiceSpec
from llmservice_api.reasons import ConditionType
from llmservice_operator.memory import Shape
from llmservice_operator.shares import Taken
from llmservice_operator.store import Ref
from llmservice_worker.args import Task

Json = dict[str, Any]


@dataclass(frozen=True)
class RedisStore:
    """Where Ray keeps a cluster's state: `address` <host>:<port>; the password's Secret lies in each namespace."""

    address: str
    secret: str | None = None
    secret_key: str = "password"


@dataclass(frozen=True)
class Install:
    """How the operator was installed: where the gateway is, inside and for the world; no ledger, no metering.

    `sees_cluster`: whether it may read nodes and IngressClasses.
    """

    namespace: str
    gateway_url: str
    public_url: str
    gateway_needs_default_class: bool = False
    kuberay_namespace: str = "kuberay-system"
    gcs_store: RedisStore | None = None
    tracing_endpoint: str | None = None
    monitoring_namespace: str | None = None
    ledger_url: str | None = None
    sees_cluster: bool = True


@dataclass(frozen=True)
class Question:
    """What a probe asks of a model: the least of its first task, and how many seconds are waited for the answer."""

    model: str
    task: Task = "generate"
    patience_s: float = 20


@dataclass(frozen=True)
class Probe:
    """The outcome of one real request: `error` is empty where a token, or what the task gives in its place, came.

    `reached` False: nothing listened there yet, which is how every start begins.
    """

    error: str = ""
    reached: bool = True

    @property
    def answered(self) -> bool:
        """Whether a token came."""
        return not self.error


@dataclass(frozen=True)
class Refused:
    """A write that the API server would not take: HTTP status and its message."""

    status: int
    message: str


@dataclass(frozen=True)
class Replicas:
    """What replicas say of their adapters, by the pod's uid: `answers` of those that were asked now (None: nothing).

    `settled`: those that have loaded all that this generation names, as they said before.
    """

    answers: Mapping[str, Sequence[Json] | None] = field(default_factory=dict)
    settled: frozenset[str] = frozenset()

    @property
    def speak(self) -> bool:
        """Whether any of them says anything."""
        return bool(self.settled) or any(answer is not None for answer in self.answers.values())


@dataclass(frozen=True)
class Observed:
    """One LLMService and all that bears on it. `children` are what we made, by reference; clusters and pods KubeRay.

    `spec`: as it holds now, by its schedules. `causes`: why workers have no engine, as they say it themselves.
    `taken_names`: names of its model by the older LLMService of the namespace that answers to them on the shared URL.
    `node_labels`, `has_default_class` None: the operator may not see that.
    `shape`: of the model, where it is public. `taken`: what other services have of each pool.
    `replica`: what the newest replica says of itself, where it was asked.
    """

    now: datetime
    install: Install
    service: Json
    spec: LLMServiceSpec
    pools: Mapping[str, GPUPoolSpec] = field(default_factory=dict)
    node_labels: Sequence[Mapping[str, str]] | None = ()
    children: Mapping[Ref, Json] = field(default_factory=dict)
    clusters: Sequence[Json] = ()
    pods: Sequence[Json] = ()
    missing_claim: str | None = None
    has_default_class: bool | None = True
    host_owner: str | None = None
    taken_names: Mapping[str, str] = field(default_factory=dict)
    engine_probe: Probe | None = None
    route_probe: Probe | None = None
    causes: Sequence[str] = ()
    download: Json | None = None
    refused: Mapping[Ref, Refused] = field(default_factory=dict)
    missing_adapter_claim: str | None = None
    adapter_replicas: Replicas = Replicas()
    shape: Shape | None = None
    taken: Mapping[str, Taken] = field(default_factory=dict)
    replica: Json | None = None

    @property
    def name(self) -> str:
        """metadata.name"""
        return str(self.service["metadata"]["name"])

    @property
    def namespace(self) -> str:
        """metadata.namespace"""
        return str(self.service["metadata"]["namespace"])

    @property
    def uid(self) -> str:
        """metadata.uid"""
        return str(self.service["metadata"]["uid"])

    @property
    def generation(self) -> int:
        """metadata.generation"""
        return int(self.service["metadata"]["generation"])

    @property
    def status(self) -> Json:
        """The status as last seen, empty where there is none."""
        status: Json = self.service.get("status") or {}
        return status

    def is_verified(self, revision: str) -> bool:
        """Whether status says that this revision, as the active one, has given a token and has not failed since."""
        active = (self.status.get("revision") or {}).get("active")
        return active == revision and self.condition_holds(ConditionType.ENGINE_READY)

    def condition_holds(self, kind: str) -> bool:
        """Whether status says True of a condition."""
        return any(c["type"] == kind and c["status"] == "True" for c in self.status.get("conditions", []))

    def condition_reason(self, kind: str) -> str | None:
        """The reason that status gives for a condition."""
        return next((c["reason"] for c in self.status.get("conditions", []) if c["type"] == kind), None)

    def condition_message(self, kind: str) -> str:
        """The message that status gives for a condition, empty where it has none."""
        return next((c.get("message", "") for c in self.status.get("conditions", []) if c["type"] == kind), "")

    def child(self, plural: str, name: str) -> Json | None:
        """A child of this name in the service's namespace that the service owns."""
        obj = self.children.get(Ref(plural, self.namespace, name))
        return obj if obj is not None and is_owned(obj, self.uid) else None


def is_owned(obj: Json, uid: str) -> bool:
    """Whether the object's controller is the object of this uid."""
    owners = obj["metadata"].get("ownerReferences", [])
    return any(owner.get("uid") == uid and owner.get("controller") for owner in owners)


def instant(text: str) -> datetime:
    """An RFC 3339 instant, such as `2026-01-31T12:00:00Z`."""
    return datetime.fromisoformat(text.upper())


def rfc3339(moment: datetime) -> str:
    """An instant as Kubernetes writes it, in whole seconds UTC."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
