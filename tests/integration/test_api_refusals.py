"""What the schema refuses, by a real API server: at admission, with the field's path."""

from typing import Any

import pytest

from tests.integration.client import Client, Refused

Json = dict[str, Any]
SOURCE: Json = {"source": "hf://org/model"}


def an_object(kind: str, spec: Json, name: str = "m") -> Json:
    """An object of ours."""
    return {"apiVersion": "llmservice.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def attempt(client: Client, kind: str, spec: Json, name: str = "m") -> None:
    """Create for trial only."""
    namespace = "" if kind == "GPUPool" else "default"
    client.create(f"{kind.lower()}s", an_object(kind, spec, name), namespace, trial=True)


def service(**spec: Any) -> Json:
    """An LLMService's spec that is right but for what is set."""
    return {"model": SOURCE} | spec


def engine(**fields: Any) -> Json:
    """The same with a spec.engine."""
    return service(engine=fields)


def scaling(**fields: Any) -> Json:
    """The same with a spec.scaling."""
    return service(scaling=fields)


def templates(**fields: str) -> Json:
    """The same with spec.taskTemplates."""
    return service(taskTemplates=fields)


def adapter(name: str, text: str = "pvc://models/a") -> Json:
    """An adapter."""
    return {"name": name, "source": text}


def source(text: str) -> Json:
    """The same with another source."""
    return {"model": {"source": text}}


GOOD: dict[str, Json] = {
    "the shortest": service(),
    "replicas 0": service(replicas=0),
    "asleep": scaling(minReplicas=0, maxReplicas=1),
    "bounds alike": scaling(minReplicas=3, maxReplicas=3),
    "pvc with a path": source("pvc://models/a/b.c"),
    "pvc alone": source("pvc://models"),
    "s3": source("s3://bucket/a"),
    "a mirror, a cache and credentials": service(
        model=SOURCE
        | {"endpoint": "https://hub.example.com", "cacheClaim": "models", "credentialsSecretRef": {"name": "token"}}
    ),
    "a prefetched model": service(model=SOURCE | {"cacheClaim": "models", "prefetch": True}),
    "an archive": service(model={"source": "https://h.example.com/m.tar.gz", "sha256": "a" * 64}),
    "own host": service(endpoint={"host": "llm.example.com"}),
    "durations": service(rollout={"drain": "1h30m5s"}),
    "a model's name with a slash": service(model=SOURCE | {"name": "qwen/qwen3:8b"}),
    "a task template": templates(summarize='As {"sum": "…"} in {words} words: {text}'),
    "adapters": service(adapters=[adapter("a"), adapter("b", "hf://org/b"), adapter("org/c:1", "s3://bucket/c")]),
    "as many adapters as there may be": service(
        model=SOURCE | {"aliases": [f"alias-{number:0>100}" for number in range(16)]},
        adapters=[adapter(f"adapter-{number:0>100}") for number in range(64)],
    ),
    "dynamic adapters": service(dynamicAdapters={"source": "pvc://models"}),
    "room for adapters": engine(args={"maxLoras": 2, "maxCpuLoras": 2}),
    "prices": service(pricing={"promptPerMillion": "0.15", "cachedPerMillion": "0", "completionPerMillion": "12"}),
    "a pinned revision": service(model=SOURCE | {"revision": "main"}),
}


@pytest.mark.parametrize("spec", GOOD.values(), ids=GOOD)
def test_a_good_llmservice_is_taken(spec: Json, client: Client) -> None:
    attempt(client, "LLMService", spec)


REFUSED: dict[str, tuple[Json, str]] = {
    "replicas -1": (service(replicas=-1), "spec.replicas"),
    "replicas 2^31": (service(replicas=2**31), "spec.replicas"),
    "replicas a text": (service(replicas="3"), "spec.replicas"),
    "replicas a truth": (service(replicas=True), "spec.replicas"),
    "replicas a fraction": (service(replicas=1.5), "spec.replicas"),
    "max 0 with min 1": (scaling(minReplicas=1, maxReplicas=0), "spec.scaling.maxReplicas"),
    "min over max": (scaling(minReplicas=3, maxReplicas=2), "lower it or raise maxReplicas"),
    "both replicas and scaling": (service(replicas=1, scaling={}), "replicas and scaling exclude each other"),
    "a template without its text": (templates(translate="To {target}"), "the template of translate must hold {text}"),
    "a template of unknown fields": (
        templates(answer="{question} {text}"),
        "the template of answer names an unknown field: it has {question}, {context}",
    ),
    "a template of no task": (templates(paint="{text}"), 'unknown field "spec.taskTemplates.paint"'),
    "an endless template": (templates(code="{instruction}" * 1000), "spec.taskTemplates.code"),
    "a limit of no medium": (engine(args={"limitMmPerPrompt": {"smell": 1}}), "limitMmPerPrompt.smell"),
    "typo": (service(replica=1), 'unknown field "spec.replica"'),
    "queue depth 0": (scaling(targetQueueDepth=0), "spec.scaling.targetQueueDepth"),
    "queue depth -1": (scaling(targetQueueDepth=-1), "spec.scaling.targetQueueDepth"),
    "queue depth 1e308": (scaling(targetQueueDepth=1e308), "spec.scaling.targetQueueDepth"),
    "metrics from elsewhere": (scaling(metricsURL="http://evil"), 'unknown field "spec.scaling.metricsURL"'),
    "delay without a unit": (scaling(upDelay="10"), "spec.scaling.upDelay"),
    "delay below zero": (scaling(upDelay="-1s"), "spec.scaling.upDelay"),
    "a drain of ages": (service(rollout={"drain": "252000000000s"}), "spec.rollout.drain"),
    "an empty delay": (scaling(upDelay=""), "spec.scaling.upDelay"),
    "engine argument --host": (engine(args={"--host": "0.0.0.0"}), 'unknown field "spec.engine.args.--host"'),
    "engine argument host": (engine(args={"host": "0.0.0.0"}), 'unknown field "spec.engine.args.host"'),
    "engine argument apiKey": (engine(args={"apiKey": "x"}), 'unknown field "spec.engine.args.apiKey"'),
    "engine argument trustRemoteCode": (
        engine(args={"trustRemoteCode": True}),
        'unknown field "spec.engine.args.trustRemoteCode"',
    ),
    "engine argument that is a command": (engine(args={"toolCallParser": "$(id)"}), "spec.engine.args.toolCallParser"),
    "engine argument with ;": (engine(args={"reasoningParser": "a;b"}), "spec.engine.args.reasoningParser"),
    "dtype": (engine(dtype="int3"), "spec.engine.dtype"),
    "no accelerators": (engine(tensorParallel=0), "spec.engine.tensorParallel"),
    "context of 2^31": (engine(maxModelLen=2**31), "spec.engine.maxModelLen"),
    "no model": ({}, "spec.model"),
    "no source": ({"model": {}}, "spec.model.source"),
    "a bare name": (source("org/model"), "spec.model.source"),
    "a scheme of no kind": (source("ftp://h/m"), "spec.model.source"),
    "file": (source("file:///etc/passwd"), "spec.model.source"),
    "a hub name of three parts": (source("hf://a/b/c"), "spec.model.source"),
    "..": (source("pvc://models/../secrets"), "must not contain '..'"),
    ".. at the end": (source("pvc://models/.."), "must not contain '..'"),
    "a line break": (source("hf://a/b\n"), "spec.model.source"),
    "a shell's words": (source("hf://a/$(id)"), "spec.model.source"),
    "credentials in a URL": (source("https://user:pass@h/m"), "spec.model.source"),
    "a long source": (source("hf://a/" + "b" * 1100), "spec.model.source"),
    "a revision of no hub": (
        {"model": {"source": "pvc://models/m", "revision": "main"}},
        "revision goes with a hf:// source",
    ),
    "an archive without a digest": (source("https://h/m.tar"), "needs sha256"),
    "a digest of no archive": ({"model": SOURCE | {"sha256": "a" * 64}}, "sha256 goes with a http(s):// source"),
    "a short digest": ({"model": {"source": "https://h/m.tar", "sha256": "abc"}}, "spec.model.sha256"),
    "a cache of a volume": (
        {"model": {"source": "pvc://models/m", "cacheClaim": "cache"}},
        "cacheClaim goes with a source that is downloaded",
    ),
    "a prefetch into nothing": ({"model": SOURCE | {"prefetch": True}}, "prefetch needs a cacheClaim"),
    "an endpoint of a volume": (
        {"model": {"source": "pvc://models/m", "endpoint": "https://h"}},
        "endpoint goes with a hf://, s3:// or gs:// source",
    ),
    "an endpoint with a query": ({"model": SOURCE | {"endpoint": "https://h/?x=1"}}, "spec.model.endpoint"),
    "bidi in the model's name": (service(model=SOURCE | {"name": "a\u202eb"}), "spec.model.name"),
    "zero width in an alias": (service(model=SOURCE | {"aliases": ["a\u200bb"]}), "spec.model.aliases[0]"),
    "emoji in the model's name": (service(model=SOURCE | {"name": "\U0001f600"}), "spec.model.name"),
    "an alias twice": (service(model=SOURCE | {"aliases": ["a", "a"]}), "spec.model.aliases[1]"),
    "an alias that is the name": (service(model=SOURCE | {"name": "a", "aliases": ["a"]}), "aliases repeats name"),
    "any host": (service(endpoint={"host": "*"}), "spec.endpoint.host"),
    "a wildcard host": (service(endpoint={"host": "*.example.com"}), "spec.endpoint.host"),
    "a host with a path": (service(endpoint={"host": "a.com/x"}), "spec.endpoint.host"),
    "a host with a port": (service(endpoint={"host": "a.com:80"}), "spec.endpoint.host"),
    "annotations of an Ingress controller": (
        service(endpoint={"host": "a.com", "annotations": {"nginx.ingress.kubernetes.io/server-snippet": "x"}}),
        'unknown field "spec.endpoint.annotations"',
    ),
    "a pod template": (service(template={"spec": {"hostNetwork": True}}), 'unknown field "spec.template"'),
    "a service account": (service(serviceAccountName="operator"), 'unknown field "spec.serviceAccountName"'),
    "a Secret elsewhere": (
        service(model=SOURCE | {"credentialsSecretRef": {"name": "a", "namespace": "kube-system"}}),
        'unknown field "spec.model.credentialsSecretRef.namespace"',
    ),
    "a Secret by path": (
        service(model=SOURCE | {"credentialsSecretRef": {"name": "../a"}}),
        "credentialsSecretRef.name",
    ),
    "access to nobody": (service(access={"mode": "None"}), "spec.access.mode"),
    "held without bound": (service(hold={"maxRequests": 10**6}), "spec.hold.maxRequests"),
    "17 pools": (service(placement={"pools": [f"p{number}" for number in range(17)]}), "spec.placement.pools"),
    "an adapter named as the service": (service(adapters=[adapter("m")]), "an adapter bears the model's name"),
    "an adapter named as the model": (
        service(model=SOURCE | {"name": "q"}, adapters=[adapter("q")]),
        "an adapter bears the model's name",
    ),
    "an adapter named as an alias": (
        service(model=SOURCE | {"aliases": ["q"]}, adapters=[adapter("q")]),
        "an adapter bears an alias of the model",
    ),
    "an adapter with a space": (service(adapters=[adapter("a b")]), "spec.adapters[0].name"),
    "an adapter outside its volume": (service(adapters=[adapter("a", "pvc://c/../x")]), "must not contain '..'"),
    "an adapter from a web server": (service(adapters=[adapter("a", "https://h/a.tar")]), "adapters come from pvc://"),
    "a folder of adapters on the hub": (
        service(dynamicAdapters={"source": "hf://org/a"}),
        "a folder of adapters is on pvc://",
    ),
    "a folder of adapters outside": (service(dynamicAdapters={"source": "pvc://c/.."}), "must not contain '..'"),
    "more adapters in a batch than in memory": (
        engine(args={"maxLoras": 3, "maxCpuLoras": 2}),
        "maxLoras is over maxCpuLoras",
    ),
    "an adapter twice": (
        service(adapters=[{"name": "a", "source": "hf://o/a"}, {"name": "a", "source": "hf://o/b"}]),
        "spec.adapters[1]",
    ),
    "a price below zero": (
        service(pricing={"promptPerMillion": "-1", "completionPerMillion": "1"}),
        "spec.pricing.promptPerMillion",
    ),
    "a price of five digits": (
        service(pricing={"promptPerMillion": "1", "completionPerMillion": "0.00001"}),
        "spec.pricing.completionPerMillion",
    ),
    "a price of no kind": (
        service(pricing={"promptPerMillion": "1", "completionPerMillion": "1", "perRequest": "1"}),
        'unknown field "spec.pricing.perRequest"',
    ),
    "environment": (service(env=[{"name": "A", "value": "b"}] * 2), 'unknown field "spec.env"'),
}


@pytest.mark.parametrize(("spec", "text"), REFUSED.values(), ids=REFUSED)
def test_a_bad_llmservice_is_refused_with_its_path(spec: Json, text: str, client: Client) -> None:
    with pytest.raises(Refused) as caught:
        attempt(client, "LLMService", spec)
    assert text in str(caught.value)


def test_null_is_absent(client: Client) -> None:
    attempt(client, "LLMService", service(replicas=None))


NAMES = {
    "41 characters": ("n" * 41, "metadata.name is longer than 40 characters"),
    "begins with a digit": ("7b", "metadata.name must begin with a letter"),
    "a dot": ("a.b", "metadata.name must begin with a letter"),
    "bidi": ("a\u202eb", "metadata.name"),
    "zero width": ("a\u200bb", "metadata.name"),
}


@pytest.mark.parametrize(("name", "text"), NAMES.values(), ids=NAMES)
def test_a_bad_name_is_refused(name: str, text: str, client: Client) -> None:
    with pytest.raises(Refused) as caught:
        attempt(client, "LLMService", service(), name)
    assert text in str(caught.value)


def test_the_longest_name_is_taken(client: Client) -> None:
    attempt(client, "LLMService", service(), "n" * 40)


OTHERS: dict[str, tuple[str, Json, str]] = {
    "a pool without image": ("GPUPool", {}, "spec.image"),
    "a pool of no nodes": ("GPUPool", {"image": "a/b", "maxNodes": 0}, "maxNodes is 0"),
    "memory of no size": ("GPUPool", {"image": "a/b", "accelerator": {"memory": "much"}}, "spec.accelerator.memory"),
    "a resource without a group": (
        "GPUPool",
        {"image": "a/b", "accelerator": {"memory": "1Gi", "resource": "cpu"}},
        "spec.accelerator.resource",
    ),
    "a price that is a number": ("GPUPool", {"image": "a/b", "pricePerHour": 1}, "spec.pricePerHour"),
    "an image that is a command": ("GPUPool", {"image": "a;b"}, "spec.image"),
    "privileged": ("GPUPool", {"image": "a/b", "privileged": True}, 'unknown field "spec.privileged"'),
    "a key for a pattern of no kind": ("APIKey", {"models": ["a b"]}, "spec.models[0]"),
    "a key for nothing": ("APIKey", {"models": []}, "spec.models"),
    "a key with a bad end": ("APIKey", {"expiresAt": "tomorrow"}, "spec.expiresAt"),
    "a key with an end without zone": ("APIKey", {"expiresAt": "2030-01-01T00:00:00"}, "spec.expiresAt"),
    "no requests at all": ("APIKey", {"limits": {"requestsPerMinute": 0}}, "spec.limits.requestsPerMinute"),
    "half a request": ("APIKey", {"limits": {"parallel": 0.5}}, "spec.limits.parallel"),
    "tokens beyond 2^31": ("APIKey", {"limits": {"tokensPerMinute": 2**31}}, "spec.limits.tokensPerMinute"),
    "a role of no kind": ("APIKey", {"role": "Root"}, "spec.role"),
    "an admin of models": ("APIKey", {"role": "Admin", "models": ["a"]}, "an Admin key opens no model: remove models"),
    "an admin with limits": (
        "APIKey",
        {"role": "Admin", "limits": {"parallel": 1}},
        "an Admin key opens no model, so it spends nothing: remove limits and budgetRef",
    ),
    "an admin with a budget": ("APIKey", {"role": "Admin", "budgetRef": {"name": "b"}}, "it spends nothing"),
    "a serial of nothing": ("APIKey", {"rotation": {"serial": 0}}, "spec.rotation.serial"),
    "an overlap without a unit": ("APIKey", {"rotation": {"serial": 2, "overlap": "60"}}, "spec.rotation.overlap"),
    "an overlap below zero": ("APIKey", {"rotation": {"overlap": "-1h"}}, "spec.rotation.overlap"),
    "a budget elsewhere": (
        "APIKey",
        {"budgetRef": {"name": "b", "namespace": "team-b"}},
        'unknown field "spec.budgetRef.namespace"',
    ),
    "a key that is brought along": ("APIKey", {"key": "llms_1.x"}, 'unknown field "spec.key"'),
    "a budget of nothing": ("Budget", {}, "a Budget bounds something: set tokens or cost"),
    "a budget of a window alone": ("Budget", {"window": "Day"}, "a Budget bounds something"),
    "a budget of no token": ("Budget", {"tokens": 0}, "spec.tokens"),
    "a budget of no cost": ("Budget", {"cost": "0.00"}, "cost is 0, so nothing could be spent"),
    "a cost that is a number": ("Budget", {"cost": 250}, "spec.cost"),
    "a cost below zero": ("Budget", {"cost": "-1"}, "spec.cost"),
    "a cost of five digits": ("Budget", {"cost": "0.00001"}, "spec.cost"),
    "a cost beyond all sums": ("Budget", {"cost": "100000000"}, "spec.cost"),
    "a cost in a currency": ("Budget", {"cost": "5 EUR"}, "spec.cost"),
    "a window of a week": ("Budget", {"tokens": 1, "window": "Week"}, "spec.window"),
    "a cost center that is two words": ("Budget", {"tokens": 1, "costCenter": "a b"}, "spec.costCenter"),
    "a pool's price that is a number": (
        "GPUPool",
        {"image": "a/b", "pricing": {"promptPerMillion": 0.5, "completionPerMillion": "1"}},
        "spec.pricing.promptPerMillion",
    ),
    "half of a pool's prices": (
        "GPUPool",
        {"image": "a/b", "pricing": {"promptPerMillion": "1"}},
        "spec.pricing.completionPerMillion",
    ),
}


OTHERS_GOOD: dict[str, tuple[str, Json]] = {
    "a key of nothing but defaults": ("APIKey", {}),
    "an admin": ("APIKey", {"role": "Admin"}),
    "an admin that rotates": ("APIKey", {"role": "Admin", "rotation": {"serial": 2, "overlap": "0s"}}),
    "all limits": (
        "APIKey",
        {
            "limits": {"requestsPerMinute": 1, "tokensPerMinute": 2**31 - 1, "parallel": 1},
            "budgetRef": {"name": "team"},
        },
    ),
    "a budget of tokens": ("Budget", {"tokens": 10**15, "window": "Once"}),
    "a budget of both": ("Budget", {"tokens": 1, "cost": "99999999.9999", "costCenter": "4711/ml"}),
    "a pool's prices": ("GPUPool", {"image": "a/b", "pricing": {"promptPerMillion": "0", "completionPerMillion": "0"}}),
}


@pytest.mark.parametrize(("kind", "spec"), OTHERS_GOOD.values(), ids=OTHERS_GOOD)
def test_a_good_pool_key_or_budget_is_taken(kind: str, spec: Json, client: Client) -> None:
    attempt(client, kind, spec)


@pytest.mark.parametrize(("kind", "spec", "text"), OTHERS.values(), ids=OTHERS)
def test_a_bad_pool_key_or_budget_is_refused_with_its_path(kind: str, spec: Json, text: str, client: Client) -> None:
    with pytest.raises(Refused) as caught:
        attempt(client, kind, spec)
    assert text in str(caught.value)
