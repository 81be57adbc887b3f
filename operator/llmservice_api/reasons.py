"""Condition types and reasons: the whole vocabulary of status and Events, in one place."""

from enum import StrEnum


class ConditionType(StrEnum):
    """What a condition speaks of; `Ready` sums up all of them."""

    ACCEPTED = "Accepted"
    PLACED = "Placed"
    MODEL_READY = "ModelReady"
    ENGINE_READY = "EngineReady"
    ROUTE_READY = "RouteReady"
    ADAPTERS_READY = "AdaptersReady"
    SCALING = "Scaling"
    PROGRESSING = "Progressing"
    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    LIMITS_ENFORCED = "LimitsEnforced"
    SPENT = "Spent"


class Reason(StrEnum):
    """Why a condition is what it is."""

    # Accepted
    VALID = "Valid"
    INVALID_SPEC = "InvalidSpec"
    HOST_RESERVED = "HostReserved"
    HOST_TAKEN = "HostTaken"
    NAME_TAKEN = "NameTaken"
    CHILD_NOT_OWNED = "ChildNotOwned"
    PAUSED = "Paused"
    # Placed
    POOL_CHOSEN = "PoolChosen"
    POOL_MISSING = "PoolMissing"
    NO_POOL = "NoPool"
    NO_NODE = "NoNode"
    NODES_MATCH = "NodesMatch"
    NODES_ON_DEMAND = "NodesOnDemand"
    DOES_NOT_FIT = "DoesNotFit"
    POOL_FULL = "PoolFull"
    TRUST_REMOTE_CODE_REFUSED = "TrustRemoteCodeRefused"
    # ModelReady
    MODEL_LOADED = "ModelLoaded"
    LOADING = "Loading"
    CLAIM_MISSING = "ClaimMissing"
    MODEL_UNREADABLE = "ModelUnreadable"
    DOWNLOADING = "Downloading"
    CREDENTIALS_REFUSED = "CredentialsRefused"
    SOURCE_NOT_FOUND = "SourceNotFound"
    SOURCE_UNREACHABLE = "SourceUnreachable"
    DISK_FULL = "DiskFull"
    CORRUPT = "Corrupt"
    WEIGHTS_NOT_ALLOWED = "WeightsNotAllowed"
    VOLUME_UNUSABLE = "VolumeUnusable"
    # EngineReady
    ENGINE_ANSWERS = "EngineAnswers"
    STARTING = "Starting"
    ENGINE_FAILED = "EngineFailed"
    PODS_REFUSED = "PodsRefused"
    POD_FAILED = "PodFailed"
    UNSCHEDULABLE = "Unschedulable"
    ENGINE_DIED = "EngineDied"
    KUBERAY_MISSING = "KubeRayMissing"
    PROBE_FAILED = "ProbeFailed"
    WRITE_REFUSED = "WriteRefused"
    # RouteReady
    ROUTE_ANSWERS = "RouteAnswers"
    ROUTE_PENDING = "RoutePending"
    ROUTE_MOVING = "RouteMoving"
    INGRESS_CLASS_MISSING = "IngressClassMissing"
    # AdaptersReady
    ADAPTERS_LOADED = "AdaptersLoaded"
    ADAPTER_FAILED = "AdapterFailed"
    # Scaling
    AS_DESIRED = "AsDesired"
    HIBERNATED = "Hibernated"
    SCALING_UP = "ScalingUp"
    SCALING_DOWN = "ScalingDown"
    CHANGING = "Changing"
    # Progressing
    ROLLED_OUT = "RolledOut"
    ROLLING_OUT = "RollingOut"
    DRAINING = "Draining"
    DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
    # Ready
    SERVING = "Serving"
    # APIKey
    ISSUED = "Issued"
    EXPIRED = "Expired"
    SECRET_TAKEN = "SecretTaken"
    ENFORCED = "Enforced"
    BUDGET_NOT_FOUND = "BudgetNotFound"
    METERING_OFF = "MeteringOff"
