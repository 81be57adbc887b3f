"""A service that is deleted."""

from hack.cluster.poll import wait_until
from tests.e2e.site import ASK_AGAIN, ROOM, SERVICE, Site, ready_service


def test_deletion_leaves_nothing(site: Site) -> None:
    ready_service(site, ROOM, SERVICE)
    site.api.kubectl("delete", "llm", SERVICE, "--namespace", ROOM)
    wait_until(lambda: site.children(ROOM, SERVICE) == [], "nothing is left", timeout=120, interval=ASK_AGAIN)
    assert site.service(ROOM, SERVICE) is None
