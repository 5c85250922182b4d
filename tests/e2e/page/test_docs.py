"""The page that shows the API, in a real browser under its own Content-Security-Policy: read a call, try it."""

from tests.browser.tab import Tab
from tests.e2e.page.site import Site
from tests.e2e.serving import ADMIN_KEY

CALL = "#operations-Operations-ledger"


def test_the_api_is_read_and_tried_in_a_browser(site: Site, tab: Tab) -> None:
    tab.go(f"{site.url}/docs")
    tab.until_text("Device ingestion gateway")
    tab.until_text("/v1/devices/{device}/state")

    tab.click(".authorize", text="Authorize")
    tab.click(".modal-ux input")
    tab.type(ADMIN_KEY)
    tab.click(".modal-ux .authorize", text="Authorize")
    tab.click(".modal-ux .btn-done")

    tab.click(f"{CALL} .opblock-summary-control")
    tab.until_text("Who may: admin.", within=CALL)
    tab.click(f"{CALL} .try-out__btn")
    tab.click(f"{CALL} .execute")
    tab.until_text("dead_lettered", within=f"{CALL} .live-responses-table")
    assert tab.text(f"{CALL} .live-responses-table tbody .response-col_status").strip().startswith("200")
    assert tab.run("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])") == '[{},{},""]'
    assert tab.heard() == []
