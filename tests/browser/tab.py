"""What a person does with a page, and what the page does: go, click, type, read, look. Each wait has a deadline."""

import base64
import json
import time
from pathlib import Path
from typing import Any

from tests.browser.wire import BrowserError, Wire

SOON = 15.0
LOOK_SECS = 0.03
KEYS = {"Enter": 13, "Tab": 9, "Escape": 27, "End": 35, "ArrowLeft": 37, "ArrowRight": 39, " ": 32}
_TEXT = {"Enter": "\r", " ": " "}


class Tab:
    """One page."""

    def __init__(self, wire: Wire, session: str) -> None:
        self._wire = wire
        self._session = session
        self.complaints: list[str] = []
        """Errors of the console and of the policy, uncaught exceptions."""

    def prepare(self, *, width: int, height: int, dark: bool) -> None:
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")
        self.resize(width, height)
        self.scheme("dark" if dark else "light")

    def resize(self, width: int, height: int) -> None:
        narrow = width < 600
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if narrow else 1,
            mobile=narrow,
        )

    def scheme(self, name: str) -> None:
        """Have the system be light or dark."""
        features = [{"name": "prefers-color-scheme", "value": name}]
        self._call("Emulation.setEmulatedMedia", features=features)

    def zone(self, name: str) -> None:
        """Have the reader be in this time zone."""
        self._call("Emulation.setTimezoneOverride", timezoneId=name)

    def go(self, url: str) -> None:
        """Open an address; returns when the page has loaded."""
        answer = self._call("Page.navigate", url=url)
        if "errorText" in answer:
            raise BrowserError(f"{url}: {answer['errorText']}")
        self._wire.wait("Page.loadEventFired", session=self._session)

    def run(self, script: str) -> Any:
        """Return what an expression is worth, promises awaited. Raises BrowserError for what it throws."""
        answer = self._call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise BrowserError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def text(self, selector: str = "body") -> str:
        """What a person reads there; empty if there is nothing."""
        return str(self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def until(self, condition: str, *, secs: float = SOON) -> Any:
        """Wait until an expression is true, and return its value."""
        deadline = time.monotonic() + secs
        while not (value := self.run(condition)):
            assert time.monotonic() < deadline, f"not within {secs} s: {condition}\n{self.text()}\n{self.heard()}"
            time.sleep(LOOK_SECS)
        return value

    def until_text(self, words: str, *, within: str = "body", secs: float = SOON) -> None:
        """Wait until these words can be read."""
        place = f"document.querySelector({json.dumps(within)})"
        self.until(f"({place}?.innerText ?? '').includes({json.dumps(words)})", secs=secs)

    def click(self, selector: str, *, text: str = "") -> None:
        """Click the first visible element that matches and holds the text, where a person would."""
        where = self.until(_PLACE % (json.dumps(selector), json.dumps(text)))
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=where["x"], y=where["y"], button="left", clickCount=1)

    def hover(self, selector: str, *, share: float = 0.5) -> None:
        """Move the pointer over an element: at this share of its width."""
        box = self.run(f"document.querySelector({json.dumps(selector)}).getBoundingClientRect().toJSON()")
        x, y = box["left"] + box["width"] * share, box["top"] + box["height"] / 2
        self._call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def type(self, text: str) -> None:
        """Type where the focus is."""
        self._call("Input.insertText", text=text)

    def press(self, key: str) -> None:
        """Press and release one key."""
        fields = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key], "text": _TEXT.get(key, "")}
        self._call("Input.dispatchKeyEvent", type="keyDown" if fields["text"] else "rawKeyDown", **fields)
        self._call("Input.dispatchKeyEvent", type="keyUp", **fields)

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Keep a picture of what is seen, or of the whole page."""
        answer = self._call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    def heard(self) -> list[str]:
        """Return all complaints so far."""
        self.run("0")  # what was sent before the answer to this has arrived
        ours = [event for event in self._wire.events if event.get("sessionId") == self._session]
        for event in ours:
            self._wire.events.remove(event)
            self.complaints += _complaint(event)
        return self.complaints

    def _call(self, method: str, **parameters: object) -> dict[str, Any]:
        return self._wire.call(method, session=self._session, **parameters)


_PLACE = """(() => {
  const found = [...document.querySelectorAll(%s)].find(
    (one) => one.checkVisibility() && (one.innerText || one.value || "").includes(%s) && !one.disabled);
  if (!found) return null;
  found.scrollIntoView({block: "center", behavior: "instant"});
  const {left, top, width, height} = found.getBoundingClientRect();
  return {x: left + width / 2, y: top + height / 2};
})()"""


def _complaint(event: dict[str, Any]) -> list[str]:
    given = event["params"]
    if event["method"] == "Runtime.exceptionThrown":
        return [json.dumps(given["exceptionDetails"].get("exception", given["exceptionDetails"]))]
    if event["method"] == "Log.entryAdded" and given["entry"]["level"] == "error":
        return [f"{given['entry']['text']} {given['entry'].get('url', '')}"]
    if event["method"] == "Runtime.consoleAPICalled" and given["type"] in ("error", "warning", "assert"):
        return [json.dumps(given["args"])]
    return []
