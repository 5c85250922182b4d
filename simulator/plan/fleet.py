"""The simulated devices: their names, what they say, and the order in which they say it over one transport. Pure.

The same seed and prefix give the same readings. A *lane* is a part of a fleet on one transport: post number in,
(device, n) out, and back. Its messages are numbered in the order in which they are sent. They go round the devices in
*runs*: `run` messages of one device, then `run` of the next. A *post* (one HTTP request, or one MQTT publish) holds
`messages` of them in a row. So a post's number alone says what is in it: the ledger keeps one byte a post, and a retry
sends the same bytes.
"""

from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from simulator.core.chance import Ints
from simulator.plan.metrics import Metric

Transport = Literal["http", "mqtt"]
_Number = TypeVar("_Number", int, Ints)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """Devices `first` to `first + devices - 1`, sending `posts` posts at `rate` posts a second over one transport."""

    transport: Transport
    first: int
    devices: int
    metrics: int
    messages: int
    run: int
    posts: int
    rate: float
    start_ms: int
    step_ms: int

    @property
    def readings(self) -> int:
        """Readings in each post."""
        return self.messages * self.metrics

    @property
    def depth(self) -> int:
        """Messages of the device that sends most: every n of this lane is below it."""
        rounds = -(-self.posts * self.messages // (self.run * self.devices))
        return rounds * self.run

    def time_ms(self, n: _Number) -> _Number:
        """Return when the n-th message of a device was measured, in ms since 1970.

        The last message of a run is measured when it is sent, those before it earlier: nothing lies ahead of the clock.
        """
        return self.start_ms + (n - self.run + 1) * self.step_ms

    def said_by(self, message: Ints) -> tuple[Ints, Ints]:
        """Return (device, n) of messages by their numbers."""
        run = message // self.run
        return self.first + run % self.devices, run // self.devices * self.run + message % self.run

    def post_of(self, device: Ints, n: Ints) -> Ints:
        """Return the post that holds the n-th message of a device (it may be beyond the last post)."""
        message = ((n // self.run) * self.devices + device - self.first) * self.run + n % self.run
        return message // self.messages

    def messages_of(self, post: int, count: int) -> Ints:
        """Return the numbers of the messages in `count` posts from `post` on."""
        return np.arange(post * self.messages, (post + count) * self.messages, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Fleet:
    """Devices that all report the same metrics."""

    prefix: str
    seed: int
    metrics: tuple[Metric, ...]

    def name(self, device: int) -> str:
        """Return the device's name."""
        return f"{self.prefix}-{device:05d}"

    def codes(self, metric: int, device: Ints, n: Ints) -> Ints:
        """Return the codes of one metric in the n-th messages of the devices; the two arrays broadcast."""
        return self.metrics[metric].codes(device, n, seed=self.seed)
