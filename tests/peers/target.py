"""The target of a measurement: a program that takes readings; how it is started and ended, and what it holds."""

import json
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from tests.peers.works import Door

HOST = "127.0.0.1"
PROGRAM = "program"
"""The part of a target that is the program itself."""


class Target(ABC):
    """One of those that are compared. `start` brings it up on what it has stored, after `stop` or `kill`."""

    name: ClassVar[str]
    title: ClassVar[str]
    promise: ClassVar[str]
    """What an acknowledgement means."""
    is_late: ClassVar[bool] = False
    """Whether it can be asked for what it has acknowledged only some time later."""

    @abstractmethod
    def door(self, work: str) -> Door | None:
        """Return where it takes a work; None if it does not."""

    @abstractmethod
    def start(self) -> None:
        """Return when it takes requests. Raises LocalStackError."""

    @abstractmethod
    def stop(self) -> None:
        """End it in order; return when it is gone."""

    @abstractmethod
    def kill(self) -> None:
        """SIGKILL all its processes, as a crash would."""

    @abstractmethod
    def clear(self) -> None:
        """Forget all readings; it runs."""

    @abstractmethod
    def readings(self) -> int:
        """Return how many it holds, as those see that ask it."""

    @abstractmethod
    def stored(self, ends: Mapping[str, int], metrics: int) -> dict[str, int]:
        """Return for each device how many readings it holds before a time (ms), of stamps of so many metrics."""

    @abstractmethod
    def parts(self, work: str) -> dict[str, int]:
        """Return the ports of its processes by part, of all that works for it; PROGRAM is among them."""

    def settle(self) -> None:  # noqa: B027 -- most have nothing to do here
        """Have it write what it would write later, so that this does not fall on the next measurement."""


def answer(url: str, *, body: bytes | None = None, timeout: float = 60.0) -> bytes:
    """Return what an address answers. Raises OSError."""
    with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=timeout) as reply:
        found: bytes = reply.read()
        return found


def answer_json(url: str) -> Any:
    """Return the same, decoded."""
    return json.loads(answer(url))


def answers(url: str) -> bool:
    """Whether it says yes."""
    try:
        answer(url, timeout=2.0)
    except OSError:  # HTTPError among them
        return False
    return True


def still(target: Target, wanted: int, *, patience: float) -> tuple[int, float]:
    """Return how many readings a target holds, and after how many seconds: all, or no more for 2 s, or at the end."""
    began, since, found = time.monotonic(), time.monotonic(), -1
    while True:
        before, found = found, target.readings()
        now = time.monotonic()
        since = now if found != before else since
        if found >= wanted or now - since > 2.0 or now - began > patience:
            return found, since - began
        time.sleep(0.2)
