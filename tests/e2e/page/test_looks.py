"""The page at two sizes, light and dark: nothing that a checker of accessibility or a designer would stop at."""

import time

from tests.browser.chromium import Chromium
from tests.browser.look import faults
from tests.browser.people import sign_in, visit
from tests.browser.tab import Tab
from tests.e2e.page.site import Site
from tests.e2e.serving import ADMIN_KEY

LONG = "a-device-with-a-name-as-long-as-names-may-be-" + "x" * 83
SIZES = [(1440, 900, False), (1440, 900, True), (390, 844, False), (390, 844, True)]
VIEWS = {
    "": "document.querySelectorAll('.ledger tbody tr').length > 2",
    "devices": "document.querySelectorAll('.devices tbody tr').length > 1",
    f"devices/{LONG}": "!!document.querySelector('.chart .line')?.getAttribute('d')",
    "devices/no-such-device": "document.querySelector('.problem').innerText.includes('no-such-device')",
    "dead-letters": "!!document.querySelector('pre')",
}
OPEN_LETTER = "document.querySelector('summary')?.click()"


def fill(site: Site) -> None:
    """Two devices, one with everything long; a dead letter that cannot be broken into lines."""
    site.add("plain", site="north")
    site.add(LONG, place="w" * 60)
    values = {"m" * 100: 21.5, "text": "t" * 300, "open": True}
    readings = [{"ts": time.time_ns() - second * 10**9, "values": values} for second in range(20)]
    site.ask("POST", "/v1/readings", {"device": LONG, "readings": readings})
    site.publish("devices/stranger/readings", b'{"values": {"' + b"m" * 400 + b'": 1}}')


def test_every_view_passes_at_every_size(site: Site, browser: Chromium) -> None:
    fill(site)
    for width, height, dark in SIZES:
        with browser.tab(width=width, height=height, dark=dark) as tab:
            tab.go(site.url)
            tab.until("!!document.querySelector('#key')")
            assert faults(tab) == []
            sign_in(tab, site.url, ADMIN_KEY)
            for view, shown in VIEWS.items():
                visit(tab, view)
                if view == "dead-letters":
                    tab.until("!!document.querySelector('summary')")
                    tab.run(OPEN_LETTER)
                tab.until(shown)
                assert faults(tab) == [], (view, width, dark)
            assert [line for line in tab.heard() if "no-such-device" not in line] == []


def test_the_theme_follows_the_system_until_somebody_chooses(site: Site, tab: Tab) -> None:
    sign_in(tab, site.url, ADMIN_KEY)
    light = ground_colour(tab)
    tab.scheme("dark")
    dark = ground_colour(tab)
    assert sum(dark) < sum(light)
    tab.click("#theme", text="Light")
    assert ground_colour(tab) == light
    tab.scheme("light")
    tab.click("#theme", text="Dark")
    assert ground_colour(tab) == dark


def test_everything_is_reached_by_the_keyboard_and_shows_the_focus(site: Site, tab: Tab) -> None:
    sign_in(tab, site.url, ADMIN_KEY)
    tab.run("document.querySelector('.skip').focus()")
    reached = []
    for _ in range(7):
        tab.press("Tab")
        reached.append(tab.run("document.activeElement.innerText.trim()"))
        assert tab.run("getComputedStyle(document.activeElement).outlineStyle") == "solid", reached
    names = ["Device gateway", "Overview", "Devices", "Dead letters", "Dark", "Sign out", "Look at devices"]
    assert reached == names


def ground_colour(tab: Tab) -> list[int]:
    text = str(tab.run("getComputedStyle(document.body).backgroundColor"))
    return [int(part) for part in text.removeprefix("rgb(").removesuffix(")").split(",")]
