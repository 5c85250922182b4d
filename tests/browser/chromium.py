"""A Chromium process of our own: started, found out where it listens, and ended with its profile."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.browser.tab import Tab
from tests.browser.wire import BrowserError, Wire, dial

NAMES = ("chromium", "chromium-browser", "google-chrome")
START_SECS = 30.0
STOP_SECS = 10.0
OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # tests may run as root, where Chromium's own sandbox does not
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-proxy-server",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)


def find() -> str | None:
    """The browser of this machine, if it has one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Chromium:
    """A running browser."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    @contextmanager
    def tab(self, *, width: int = 1440, height: int = 900, dark: bool = False) -> Iterator[Tab]:
        """Open an empty tab with nothing of the others' in it."""
        context = self._wire.call("Target.createBrowserContext")["browserContextId"]
        target = self._wire.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self._wire.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = Tab(self._wire, session)
        tab.prepare(width=width, height=height, dark=dark)
        try:
            yield tab
        finally:
            self._wire.call("Target.disposeBrowserContext", browserContextId=context)


@contextmanager
def chromium(executable: str) -> Iterator[Chromium]:
    """Run a browser until the end of the block."""
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [executable, *OPTIONS, f"--user-data-dir={profile}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"HOME": profile},
        )
        try:
            with dial(_address(process, Path(profile) / "DevToolsActivePort")) as wire:
                yield Chromium(wire)
        finally:
            _end(process)


def _address(process: "subprocess.Popen[bytes]", port: Path) -> str:
    """Where the browser listens: it writes port and path into its profile."""
    deadline = time.monotonic() + START_SECS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise BrowserError(f"Chromium ended with {process.returncode} while starting")
        lines = port.read_text().split("\n") if port.exists() else []
        if len(lines) > 1 and lines[1]:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        time.sleep(0.05)
    raise BrowserError(f"Chromium did not listen within {START_SECS} s")


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_SECS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_SECS)
