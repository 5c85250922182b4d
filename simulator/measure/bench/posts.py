"""The posts of a workload: a form in, bodies without end out. Pure; never makes the same body twice, unless asked to.

Everything but the time is written before the clock starts. A body is the bytes around its times, so that joining them
with a new time makes a new body: a microsecond of the generator's CPU, whatever the size.

All messages of a post share the time they are joined with. Where a device says several things in a post, the last two
digits of the milliseconds tell them apart.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import orjson

from simulator.measure.bench.workloads import Form
from simulator.plan.metrics import numbers

_DIGITS = 13
"""Of milliseconds since 1970, from 2001 to 2286."""
_SUFFIX = 2
MAX_MESSAGES = 10**_SUFFIX

MakeHead = Callable[[int], bytes]
"""Length of the body → what comes before the body on the wire."""


@dataclass(frozen=True, slots=True)
class Template:
    """A post but for its times, which go between the segments. `topic` is where MQTT publishes it."""

    topic: bytes
    segments: tuple[bytes, ...]


class Posts:
    """The posts of one workload, over all its rounds: each device's times rise from post to post."""

    def __init__(self, templates: list[Template], *, form: Form, start_ms: int, cycle: int | None = None) -> None:
        """`cycle`: begin again with the first post after so many, to send only what was sent before."""
        self.form = form
        self.count = cycle or len(templates)
        """Posts after which every device has spoken, or all there is to repeat was said."""
        self._templates = templates
        self._unit = 1 if form.messages == 1 else MAX_MESSAGES
        self._first = start_ms // self._unit
        self._cycle = cycle
        self._number = 0

    @property
    def since_ms(self) -> int:
        """A time that is not later than any of the posts to come, and later than none of a cycle."""
        step = 0 if self._cycle else self._number // len(self._templates)
        return (self._first + step) * self._unit

    def next(self) -> tuple[bytes, bytes]:
        """Return (topic, bytes for the wire) of the next post."""
        number = self._number % self._cycle if self._cycle else self._number
        self._number += 1
        step, at = divmod(number, len(self._templates))
        template = self._templates[at]
        return template.topic, (b"%d" % (self._first + step)).join(template.segments)


def device_names(prefix: str, form: Form) -> list[str]:
    """Return the names of all devices."""
    return [f"{prefix}-{i:04d}" for i in range(form.devices)]


def to_templates(form: Form, *, prefix: str, head: MakeHead | None) -> list[Template]:
    """Return a template for each group of devices; without `head` they are payloads of MQTT publishes."""
    names = device_names(prefix, form)
    groups = [names[i : i + form.per_post] for i in range(0, form.devices, form.per_post)]
    return [_to_template(form, group, head=head) for group in groups]


def _to_template(form: Form, devices: list[str], *, head: MakeHead | None) -> Template:
    random = Random(devices[0])
    items = [item for device in devices for item in _items(form, device if head else None, random)]
    body = orjson.dumps(items[0] if form.per_post == 1 and not form.flat else items)
    if head is not None:
        body = head(len(body)) + body
    stamp = b"1" * (_DIGITS if form.messages == 1 else _DIGITS - _SUFFIX)
    return Template(f"devices/{devices[0]}/readings".encode(), tuple(body.split(stamp)))


def _items(form: Form, device: str | None, random: Random) -> Iterator[dict[str, Any]]:
    named = {} if device is None else {"device": device}
    metrics = [metric.name for metric in numbers(form.metrics)]
    messages: list[dict[str, Any]] = [
        {"ts": _mark(i, form), "values": {name: round(random.uniform(-20, 2_000), 2) for name in metrics}}
        for i in range(form.messages)
    ]
    if form.flat:
        for message in messages:
            for metric, value in message["values"].items():
                yield {**named, "metric": metric, "ts": message["ts"], "value": value}
    elif form.messages > 1:
        yield {**named, "readings": messages}
    else:
        yield {**named, **messages[0]}


def _mark(i: int, form: Form) -> int:
    """Return a number as long as a time, with ones where the time is to stand."""
    return int("1" * _DIGITS) if form.messages == 1 else int("1" * (_DIGITS - _SUFFIX)) * MAX_MESSAGES + i
