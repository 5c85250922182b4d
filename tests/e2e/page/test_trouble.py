"""The page while something is not well: nothing stale without saying so, and no green word over trouble."""

import json

from tests.browser.chromium import Chromium
from tests.browser.look import faults
from tests.browser.people import sign_in, visit
from tests.browser.tab import Tab
from tests.e2e.page.drawn import LABEL, LINE
from tests.e2e.page.site import Site
from tests.e2e.page.test_looks import SIZES
from tests.e2e.serving import ADMIN_KEY

AWAY = "The database takes no readings: Connection refused. Readings are safe in the spool."
WAITS = "1,210 messages wait on disk for the database (12 MiB, the oldest since 2026-11-22 12:03:20Z)."
DEGRADED = [{"part": "database", "what": AWAY, "since": "%s"}, {"part": "spool", "what": WAITS, "since": "%s"}]
HOOK = """(() => {
  const real = window.fetch;
  window.held = [];
  window.fetch = (path, options) => {
    if (!window.broken || !path.includes(window.broken)) return real(path, options);
    if (window.how === "hang") return new Promise((resolve) => window.held.push(resolve));
    if (window.how === "lost") return Promise.reject(new TypeError("Failed to fetch"));
    if (window.how === "degraded") return real(path, options).then((one) => one.json()).then((view) => {
      const since = new Date(Date.parse(view.now) - 130000).toISOString();
      const degraded = %s.map((one) => ({...one, since}));
      const parts = {...view.parts, database: {ok: false, error: "away"}};
      return Response.json({...view, status: window.status, ready: window.status !== "unready", degraded, parts});
    });
    return Promise.resolve(Response.json({detail: "The database cannot be reached.", code: "x"}, {status: 503}));
  };
})()"""
WORDS = ".chart-words"
STATUSES = ("degraded", "unready", "unready", "degraded")
WORDS_OF = {"degraded": ("Degraded", "warn"), "unready": ("Not ready", "bad")}


def break_calls(tab: Tab, path: str, how: str, status: str = "degraded") -> None:
    """From now on calls to this path hang, are lost, are answered 503, or say that the gateway is degraded."""
    tab.run(f"Object.assign(window, {json.dumps({'broken': path, 'how': how, 'status': status})}) && true")


def enter(tab: Tab, site: Site) -> None:
    sign_in(tab, site.url, ADMIN_KEY)
    tab.run(HOOK % json.dumps(DEGRADED))


def test_a_curve_never_stands_on_the_axis_of_another_range(site: Site, tab: Tab) -> None:
    site.add("switched")
    for value in (1, 2, 3):
        site.post("switched", t=value)
    enter(tab, site)
    visit(tab, "devices/switched")
    tab.until(f"{LINE}.length > 0")
    break_calls(tab, "/readings?", "hang")
    tab.click("input[name=range][value='-24h']")
    tab.until("window.held.length === 1")
    assert tab.run(f"[{LINE}, document.querySelectorAll('.chart .grid *').length]") == ["", 0]
    assert tab.text(WORDS) == "Loading 24 h…"
    assert "is being loaded" in tab.run(LABEL)
    break_calls(tab, "/readings?", "503")
    tab.run("window.held.forEach((one) => one(Response.json({detail: 'It is away.'}, {status: 503})))")
    tab.until_text("It is away. Nothing is shown until it can be read.", within=WORDS)
    assert tab.run(LINE) == ""
    break_calls(tab, "", "")
    tab.until(f"{LINE}.length > 0 && {LABEL}.includes('highest 3')")


def test_a_curve_that_cannot_be_refreshed_says_from_when_it_is(site: Site, tab: Tab) -> None:
    site.add("kept")
    site.post("kept", t=1)
    enter(tab, site)
    visit(tab, "devices/kept")
    tab.until(f"{LINE}.length > 0")
    break_calls(tab, "/readings?", "503")
    tab.run("document.dispatchEvent(new Event('visibilitychange'))")  # as when somebody comes back to the page
    tab.until("document.querySelector('.chart-words').innerText.includes('What is shown is from')")
    assert tab.run(f"[{LINE}.length > 0, document.querySelector('{WORDS}').dataset.mark]") == [True, "warn"]


def test_devices_of_another_question_go_at_once(site: Site, tab: Tab) -> None:
    site.add("asked-a", "asked-b")
    enter(tab, site)
    visit(tab, "devices")
    tab.until("document.querySelectorAll('tbody tr').length >= 2")
    break_calls(tab, "/v1/devices?", "503")
    tab.run("document.dispatchEvent(new Event('visibilitychange'))")
    tab.until_text("who is offline by now is not known", within=".problem")
    assert tab.run("document.querySelectorAll('tbody tr').length >= 2 && !!document.querySelector('[data-stale]')")
    tab.click("#prefix")
    tab.type("asked-a")
    tab.until("document.querySelectorAll('tbody tr').length === 0")
    assert tab.text(".problem") == "The database cannot be reached."


def test_a_device_of_which_nothing_is_told_is_not_called_online(site: Site, tab: Tab) -> None:
    site.add("silent")
    site.post("silent", t=1)
    enter(tab, site)
    visit(tab, "devices/silent")
    tab.until("document.querySelector('.status').dataset.mark === 'good'")
    break_calls(tab, "/v1/devices/silent", "503")
    tab.run("document.dispatchEvent(new Event('visibilitychange'))")
    tab.until("document.querySelector('.status').dataset.mark === 'idle'")
    tab.until_text("Whether it is offline is not known now.", within=".problem")


def test_the_bar_stands_above_every_view_and_is_read_by_everybody(site: Site, browser: Chromium) -> None:
    for (width, height, dark), status in zip(SIZES, STATUSES, strict=True):
        word, mark = WORDS_OF[status]
        with browser.tab(width=width, height=height, dark=dark) as tab:
            enter(tab, site)
            assert tab.run("document.querySelector('#trouble').hidden")
            break_calls(tab, "/v1/fleet", "degraded", status)
            tab.until("!document.querySelector('#trouble').hidden")
            for view in ("", "devices", "dead-letters"):
                visit(tab, view)
                assert word in tab.text("#trouble")
                assert "The database takes no readings: Connection refused." in tab.text("#trouble")
                assert tab.run("document.querySelector('#trouble').dataset.mark") == mark
                assert tab.run("document.title").startswith(f"{word} · ")
                assert faults(tab) == [], (view, width, dark)
            assert tab.run("document.querySelector('#trouble-heard').textContent").startswith(word)
            visit(tab, "")
            assert tab.text(".verdict").startswith(f"{word}:")


def test_what_is_shown_while_nobody_answers_is_from_then(site: Site, tab: Tab) -> None:
    enter(tab, site)
    break_calls(tab, "/v1/fleet", "lost")
    tab.until_text("No answer since", within="#trouble")
    assert "as it was at" in tab.text(".lead")
    assert tab.text(".verdict").startswith("Not known: the gateway does not answer.")
    marks = tab.run("[...document.querySelectorAll('.part')].map((one) => one.dataset.mark)")
    assert set(marks) == {"idle"}
    assert faults(tab) == []
    break_calls(tab, "", "")
    tab.until("document.querySelector('#trouble').hidden")
    assert tab.text(".verdict").startswith("Ready")
