"""The database of a real gateway is killed while somebody looks at the page, and comes back."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.browser.look import faults
from tests.browser.people import sign_in
from tests.browser.tab import Tab
from tests.e2e.page.site import Site
from tests.e2e.serving import ADMIN_KEY, Gateway, environ_of
from tests.servers.postgres import DatabaseServer

SECS = 60.0
SPOOL = "[...document.querySelectorAll('.part')].at(-1)"


@pytest.fixture
def own_site(own_timescale: DatabaseServer, valkey: str, tmp_path: Path) -> Iterator[Site]:
    environ = environ_of(own_timescale.url(), valkey, tmp_path, GATEWAY_HTTP__DRAIN_SECS="0")
    with closing(Gateway(environ, tmp_path / "gateway.log")) as gateway:
        gateway.start()
        with Site(gateway) as site:
            yield site


def test_whoever_looks_is_told_what_is_not_well_and_where_readings_are(
    own_site: Site, own_timescale: DatabaseServer, tab: Tab
) -> None:
    own_site.post("d1", t=1.0)
    sign_in(tab, own_site.url, ADMIN_KEY)
    tab.until_text("Ready: readings are taken in and made durable.", within=".verdict", secs=SECS)
    own_timescale.kill()
    for value in (2.0, 3.0, 4.0):
        own_site.post("d1", t=value)
    tab.until_text("Degraded since", within="#trouble", secs=SECS)
    tab.until_text("Degraded: readings are taken in and made durable, but not all is well.", within=".verdict")
    tab.until(f"{SPOOL}.innerText.includes('3 messages wait on disk for the database')")
    assert tab.run(f"/ KiB, the oldest since .*Its file may take .* full, room for /.test({SPOOL}.innerText)")
    assert [tab.run(f"{SPOOL}.dataset.mark"), tab.text("#link-words")] == ["warn", "Degraded"]
    assert "takes no readings" in tab.text("#trouble")
    assert faults(tab) == []
    tab.resize(390, 844)
    assert faults(tab) == []
    own_timescale.start()
    tab.until("document.querySelector('#trouble').hidden", secs=SECS)
    assert tab.text(".verdict") == "Ready: readings are taken in and made durable."
