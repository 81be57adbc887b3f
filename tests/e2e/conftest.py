"""One real cluster, one installation and one served model for all e2e tests.

The cluster is started where it is down, and then taken down at the end; one that was up stays up.
"""

from collections.abc import Iterator

import pytest

from tests.e2e.site import ROOM, SERVICE, Site, deployed, ready_service


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """The cluster with the chart installed, and the namespace of the tests with the model's volume and a pool."""
    with deployed() as found:
        yield found


@pytest.fixture(scope="session")
def served(site: Site) -> Site:
    """The site with the LLMService that most tests talk to, Ready, and a key that opens it."""
    ready_service(site, ROOM, SERVICE)
    return site
