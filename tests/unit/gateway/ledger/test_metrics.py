"""The ledger's own figures: what senders can make up makes no figure more."""

from llmservice_gateway.ledger.entries import Entry, entry
from llmservice_gateway.ledger.event import parse
from llmservice_gateway.ledger.metrics import Metrics
from llmservice_gateway.ledger.registry import Registry
from llmservice_gateway.source import Put
from tests.unit.gateway.ledger.builders import Json, key, priced, usage
from tests.unit.gateway.ledger.test_event import body

NOON = 1772366400000


def entries(*events: Json) -> list[Entry]:
    registry = Registry(lambda: NOON)
    registry.take(Put("apikeys", key(1)))
    registry.take(Put("llmservices", priced()))
    return [entry(each, registry, NOON, 0) for each in parse(body(*events))]


def test_tokens_are_counted_by_service_whatever_names_events_make_up() -> None:
    metrics = Metrics()
    metrics.stored(entries(usage(), *[usage(model=f"m{each}", service=f"s{each}") for each in range(50)]))
    (tokens,) = (each for each in metrics.registry.collect() if each.name == "llmservice_ledger_tokens")
    found = {tuple(sample.labels.values()): sample.value for sample in tokens.samples if sample.name.endswith("_total")}
    assert found == {
        ("team-a", service, kind): count * times
        for service, times in (("llama", 1), ("other", 50))
        for kind, count in (("prompt", 100), ("cached", 40), ("completion", 10))
    }
    figure = "llmservice_ledger_unpriced_events_total"
    assert metrics.registry.get_sample_value(figure, {"namespace": "team-a"}) == 50
