"""One real cluster, one installation and one served model for all e2e tests.

The cluster is started where it is down, and then taken down at the end; one that was up stays up. Tests of the shared
service come first, then its deletion, then those with services of their own: not all of their engines fit in memory.
"""

from collections.abc import Iterator

import pytest

from tests.e2e.site import ROOM, SERVICE, Site, deployed, ready_service


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """The cluster with the chart installed, and the namespace of the tests with the model's volume and a pool."""
    with deployed() as found:
        yield found


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put each file of tests into its turn; within a turn the order stays."""
    sharing = {item.path for item in items if "served" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: 0 if item.path in sharing else 1 if item.path.stem == "test_deletion" else 2)


@pytest.fixture(scope="module")
def served(site: Site) -> Site:
    """The site with the LLMService that most tests talk to, Ready, and a key that opens it."""
    ready_service(site, ROOM, SERVICE)
    return site
