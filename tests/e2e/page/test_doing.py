"""What a person does at the page, and what it does by itself meanwhile."""

import json
import time

from tests.browser.people import offer, sign_in, visit
from tests.browser.tab import Tab
from tests.e2e.page.drawn import LABEL, LINE, ink, seen, watch
from tests.e2e.page.site import Site
from tests.e2e.serving import ADMIN_KEY, wait_for

SOON = 15.0
BURST, PARTS = 1000, 20
LIVE = "document.querySelector('.values').closest('section').dataset.live === 'yes'"
HIDE = """Object.defineProperty(document, 'hidden', {value: %s, configurable: true});
document.dispatchEvent(new Event('visibilitychange'))"""
MARKUP = "<b>bold</b> & more"


def test_signing_in_takes_a_key_that_may_see_the_fleet(site: Site, tab: Tab) -> None:
    offer(tab, site.url, "not-a-key")
    tab.until_text("This key is not known here")
    assert tab.run("document.activeElement.id") == "key"
    offer(tab, site.url, site.ask("POST", "/v1/keys", {"role": "ingest"})["token"])
    tab.until_text("This key may not see the fleet")
    offer(tab, site.url, "kéy ☃")
    tab.until_text("This is not a key")
    assert [line for line in tab.heard() if "401" not in line and "403" not in line] == []

    reader = site.ask("POST", "/v1/keys", {"role": "reader"})
    sign_in(tab, site.url, reader["token"])
    tab.until_text("Answers. TimescaleDB")
    tab.until_text("Connected to the broker.")
    visit(tab, "dead-letters")
    tab.until_text("only an admin key may see them")
    kept = tab.run("JSON.stringify([location.href, {...localStorage}, {...sessionStorage}, document.cookie])")
    assert json.loads(kept) == [f"{site.url}/#/dead-letters", {}, {}, ""]

    site.ask("DELETE", f"/v1/keys/{reader['id']}")
    tab.until_text("You were signed out")
    assert tab.run("document.querySelector('#key').value") == ""


def test_what_a_device_sends_is_seen_at_once_and_charted(site: Site, tab: Tab) -> None:
    site.add("press-1", "boiler-1", site="north")
    send_nine_minutes(site, "press-1")
    site.post("press-1", temperature=20.5, count=2**53 - 1, note=MARKUP)
    sign_in(tab, site.url, ADMIN_KEY)
    find_by_search(tab, "press-1")

    tab.until_text("9,007,199,254,740,991", within=".values")
    tab.until_text(MARKUP, within=".values")
    tab.until(f"{LINE}.length > 0 && {LABEL}.startsWith('count')")  # the first metric that has numbers
    tab.click("input[value=temperature]")
    tab.until_text("temperature", within=".card-head h2")
    tab.until(f"{LINE}.split('L').length > 50")
    assert ink(tab) > 0.002

    site.post("press-1", temperature=47.25)
    tab.until_text("47.25", within=".values")
    tab.until_text("47.25", within=".readout")
    tab.hover(".chart", share=0.3)
    tab.until("!document.querySelector('.readout').innerText.includes('47.25')")
    tab.click("input[name=range][value='-24h']")
    tab.until(f"{LABEL}.includes('highest 47.25')")
    tab.click("input[value=open]")
    tab.until("document.querySelector('.chart .grid').textContent.includes('yes')")
    tab.click("input[value=note]")
    tab.until_text(MARKUP, within=".changes")

    visit(tab, "")
    tab.until("document.querySelector('.spark-line').getAttribute('d').includes('L')")
    tab.until("!/peak 0 |measuring/.test(document.querySelector('.stat .note').innerText)")
    tab.until_text("readings were taken in since the gateway started", within="main")
    assert tab.heard() == []


def send_nine_minutes(site: Site, device: str) -> None:
    """A value every 5 s, up to a minute ago."""
    start = time.time_ns() - 10 * 60 * 10**9
    times = [start + second * 10**9 for second in range(0, 540, 5)]
    columns = {
        "temperature": [20 + n % 7 for n, _ in enumerate(times)],
        "open": [n % 9 > 4 for n, _ in enumerate(times)],
    }
    site.ask("POST", "/v1/readings", {"device": device, "ts": times, "values": columns})


def find_by_search(tab: Tab, device: str) -> None:
    """Go to a device through the list."""
    tab.click(".tabs a", text="Devices")
    tab.until("document.querySelectorAll('tbody tr').length > 1")
    tab.click("#prefix")
    tab.type(device[:3])
    tab.until("document.querySelectorAll('tbody tr').length === 1")
    tab.until_text("ago", within="tbody")
    tab.click("tbody a", text=device)


def test_the_list_hears_of_devices_and_filters_them(site: Site, tab: Tab) -> None:
    site.add("hall-a", "hall-b", place="hall")
    site.add("yard-a", place="yard")
    sign_in(tab, site.url, ADMIN_KEY)
    visit(tab, "devices")
    tab.click("#tag")
    tab.type("place:hall")
    tab.until("document.querySelectorAll('tbody tr').length === 2")
    tab.until("document.querySelector('tbody .age').innerText === 'never'")
    site.post("hall-a", t=1)
    tab.until("/now|ago$/.test(document.querySelector('tbody .age').innerText)")
    tab.run("document.querySelector('#state').value = 'offline=true'")
    tab.run("document.querySelector('#state').dispatchEvent(new Event('change'))")
    tab.until("document.querySelectorAll('tbody tr').length === 1")
    tab.click("#prefix")
    tab.type("nothing-begins-so")
    tab.until_text("No device matches")
    assert tab.heard() == []


def test_a_page_that_nobody_looks_at_holds_no_stream_and_misses_nothing(site: Site, tab: Tab) -> None:
    site.add("hidden")
    site.post("hidden", t=1)
    sign_in(tab, site.url, ADMIN_KEY)
    visit(tab, "devices/hidden")
    tab.until(LIVE)
    before = streams(site)
    assert before > 0
    tab.run(HIDE % "true")
    wait_for(lambda: streams(site) == before - 1, lambda: "the stream ends", secs=SOON)
    site.post("hidden", t=88.25)
    tab.run(HIDE % "false")
    tab.until_text("88.25", within=".values")
    assert tab.heard() == []


def streams(site: Site) -> int:
    """How many readers the gateway has."""
    exposed = site.text("/metrics")
    return int(
        float(next(line for line in exposed.splitlines() if line.startswith("gateway_live_streams ")).split()[1])
    )


def test_the_page_does_not_flicker_at_a_thousand_updates_a_second(site: Site, tab: Tab) -> None:
    site.add("fast")
    site.post("fast", n=-1)
    sign_in(tab, site.url, ADMIN_KEY)
    visit(tab, "devices/fast")
    tab.until_text("-1", within=".values")
    tab.until(LIVE)
    tab.until(f"{LINE}.length > 0")
    watch(tab)
    for first in range(0, BURST, BURST // PARTS):
        now = time.time_ns()
        messages = [{"device": "fast", "ts": now + n * 1000, "values": {"n": first + n}} for n in range(BURST // PARTS)]
        site.ask("POST", "/v1/readings", messages)
    tab.until_text(str(BURST - 1), within=".values")
    happened = seen(tab)
    assert happened.nodes == 0, "rows are kept, only their text changes"
    assert happened.shift == 0
    assert 0 < happened.texts <= happened.frames * 2, "at most the value and its age, once a frame"
    assert tab.heard() == []


def test_a_dead_letter_is_listed_looked_at_and_replayed(site: Site, tab: Tab) -> None:
    site.publish(
        "devices/d9/readings",
        b'[{"ts": 1732276800, "values": {"t": 21.5, "s": "<i>x</i>"}}]',
        b'[{"ts": 1732276801, "values": {"t": 21.75}}]',
    )
    sign_in(tab, site.url, ADMIN_KEY)
    tab.click(".tabs a", text="Dead letters")
    tab.until("document.querySelectorAll('.letters > li').length === 2")
    tab.until_text("unknown_device")
    tab.run("[...document.querySelectorAll('summary')].find((one) => one.innerText.includes('(2)')).focus()")
    tab.press("Enter")
    tab.until_text('"s": "<i>x</i>"', within="pre")
    assert replayed(tab).startswith("Refused again")
    site.add("d9")
    wait_for(lambda: replayed(tab).startswith("Replayed"), lambda: "a device that is registered may write", secs=SOON)
    tab.click("input[type=checkbox]")
    tab.until_text("replayed", within=".letters")
    tab.click("input[type=checkbox]")
    tab.until("document.querySelectorAll('.letters > li').length === 1")
    assert [line for line in tab.heard() if "422" not in line] == []


def replayed(tab: Tab) -> str:
    """Press the button, say yes with the keyboard, and return what is said then."""
    tab.click(".letter button", text="Replay")
    tab.until("!!document.querySelector('dialog[open]')")
    tab.run("document.querySelector('dialog .primary').focus()")
    tab.press("Enter")
    tab.until("!document.querySelector('dialog')")
    tab.until("/^(Refused again|Replayed)/.test(document.querySelector('.said').innerText)")
    return tab.text(".said")
