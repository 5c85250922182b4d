"""The gateway dies under the page and comes back. Last of the folder: it is the others' gateway."""

from tests.browser.people import sign_in, visit
from tests.browser.tab import Tab
from tests.e2e.page.site import Site
from tests.e2e.serving import ADMIN_KEY

RESTART_SECS = 40.0
LIVE = "document.querySelector('.values').closest('section').dataset.live === 'yes'"


def test_the_page_comes_back_when_the_gateway_does(site: Site, tab: Tab) -> None:
    site.add("r1")
    site.post("r1", t=1)
    sign_in(tab, site.url, ADMIN_KEY)
    visit(tab, "devices/r1")
    tab.until_text("t", within=".values")
    site.gateway.kill()
    tab.until_text("Reconnecting…", within="#link", secs=RESTART_SECS)
    tab.until_text("Trying again in", within="#toast")
    site.gateway.start()
    tab.until_text("Live", within="#link", secs=RESTART_SECS)
    tab.until("document.querySelector('#toast').hidden")
    tab.until(LIVE, secs=RESTART_SECS)
    site.post("r1", t=77.5)
    tab.until_text("77.5", within=".values")
