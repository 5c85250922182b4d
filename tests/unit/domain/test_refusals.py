"""Each Reason: what provokes it through the wire and the gate, where it points, and what it says, word by word."""

from typing import Any, NamedTuple

import pytest

from gateway.core import settings
from gateway.domain.model import Decoded, Outcome, Refusal
from gateway.domain.principal import Principal, Role
from gateway.domain.reasons import Reason
from gateway.ingest.receipts import with_late
from tests.unit.ingest.admission.door import ADMIN, NOW, SEC, Door, said

GOOD = said("d1", t=1)


class Case(NamedTuple):
    """Posted behind one good item, so that every index and path starts with 1."""

    reason: Reason
    item: Any
    below: str
    message: str
    readings: int = 1
    principal: Principal = ADMIN
    device: str | None = None
    metric: str | None = None


NAMELESS: dict[str, Any] = {"ts": NOW, "values": {"t": 1, "h": 2}}
CONFLICT = (
    "other values are stored for this device, metrics and time, and were kept; "
    "use another time, or set devices.conflict=overwrite"
)
NOTHING_TO_SAY = "leave the metric out when there is nothing to say"

CASES = [
    Case(
        Reason.BAD_ITEM,
        "21.5",
        "",
        "an item must be an object in one of the documented shapes, this is '21.5'; see POST /v1/readings",
    ),
    Case(
        Reason.UNKNOWN_FIELD,
        {"device": "d1", "values": {"t": 1, "h": 2}, "quality": 3},
        "/quality",
        "'quality' is not a field of an item of this shape; "
        "leave it out, or put readings under 'values' (see POST /v1/readings)",
        readings=2,
        device="d1",
    ),
    Case(
        Reason.NO_VALUES,
        {"device": "d1", "ts": NOW, "values": {}},
        "/values",
        "the item holds no values; send 'value' with 'metric', or a non-empty 'values' object",
        device="d1",
    ),
    Case(
        Reason.DUPLICATE_KEY,
        {"device": "d1", "values": {"7": 1, 7: 2, "h": 3}},  # JSON's keys are texts: it holds "7" twice
        "/values/7",
        "key '7' stands more than once in one object, which can keep only one of them; "
        "send each key once, and values of other times as messages of their own",
        readings=3,
        device="d1",
        metric="7",
    ),
    Case(
        Reason.LENGTH_MISMATCH,
        {"device": "d1", "ts": [NOW, NOW + 1], "values": {"t": [1, 2, 3]}},
        "/values/t",
        "this column has 3 values for 2 timestamps; send one value for each timestamp",
        readings=3,
        device="d1",
        metric="t",
    ),
    Case(
        Reason.MISSING_DEVICE,
        NAMELESS,
        "",
        "no device is named; add 'device', or post to /v1/devices/{device}/readings",
        readings=2,
    ),
    Case(
        Reason.BAD_DEVICE_NAME,
        said("boiler 7", t=1, h=2),
        "",
        "device name 'boiler 7' is not allowed; use 1 to 128 characters of A-Z a-z 0-9 . _ : -, "
        "but not '.' or '..', which stand for folders in addresses",
        readings=2,
        device="boiler 7",
    ),
    Case(
        Reason.DEVICE_FORBIDDEN,
        said("d2", t=1, h=2),
        "",
        "this credential may not write device 'd2'; use that device's token or an ingest key",
        readings=2,
        principal=Principal(Role.DEVICE, "d1"),
        device="d2",
    ),
    Case(
        Reason.UNKNOWN_DEVICE,
        said("d9", t=1),
        "",
        "device 'd9' is not registered; register it ('gateway device add'), or set devices.unknown=auto",
        device="d9",
    ),
    Case(
        Reason.DEVICE_DISABLED,
        said("off", t=1),
        "",
        "device 'off' is disabled; enable it ('gateway device enable')",
        device="off",
    ),
    Case(
        Reason.BAD_METRIC_NAME,
        {"device": "d1", "metric": "t °C", "value": 1},
        "/metric",
        "metric name 't °C' is not allowed; use 1 to 128 characters of A-Z a-z 0-9 . _ : / -",
        device="d1",
        metric="t °C",
    ),
    Case(
        Reason.BAD_TIMESTAMP,
        {"device": "d1", "ts": "2026-11-22T12:03:20", "values": {"t": 1, "h": 2}},
        "/ts",
        "timestamp '2026-11-22T12:03:20' cannot be read; "
        "send RFC 3339 text with a zone, or a Unix time in s, ms, µs or ns",
        readings=2,
        device="d1",
    ),
    Case(
        Reason.TOO_FAR_AHEAD,
        said("d1", ts=NOW + 7312 * SEC, t=1, h=2),
        "",
        "timestamp is 7,312 s ahead of the gateway's clock; "
        "limit 300 s (clock.max_ahead_secs); check the device's clock",
        readings=2,
        device="d1",
    ),
    Case(
        Reason.TOO_OLD,
        said("d1", ts=1_000_000_000_000_000, t=1),
        "",
        "timestamp 2001-09-09T01:46:40Z is older than the 3650 days kept here (retention.days); "
        "check the device's clock",
        device="d1",
    ),
    Case(
        Reason.BAD_VALUE,
        said("d1", t=None),
        "/values/t",
        f"value null cannot be stored; send a number, true, false or text, and {NOTHING_TO_SAY}",
        device="d1",
        metric="t",
    ),
    Case(
        Reason.NOT_FINITE,
        said("d1", t=float("-inf")),
        "/values/t",
        f"value -inf is not a finite number; {NOTHING_TO_SAY}",
        device="d1",
        metric="t",
    ),
    Case(
        Reason.INT_OUT_OF_RANGE,
        said("d1", t=2**53 + 1),
        "/values/t",
        "integer 9007199254740993 does not fit a double; "
        "send it as text, or declare the metric as int ('gateway metric declare-int') if it fits int64",
        device="d1",
        metric="t",
    ),
    Case(
        Reason.BAD_TEXT,
        said("d1", t="a\0b"),
        "/values/t",
        "the text holds a NUL or a lone surrogate, which PostgreSQL cannot store; remove it",
        device="d1",
        metric="t",
    ),
    Case(
        Reason.TEXT_TOO_LONG,
        said("d1", t="é" * 2049),
        "/values/t",
        "the text is 4098 bytes of UTF-8; limit 4096; shorten it",
        device="d1",
        metric="t",
    ),
    Case(
        Reason.SERIES_LIMIT,
        said("d1", t=1, b=2, c=3),
        "/values/c",
        "this would be a new series beyond the limit of 2 metrics a device (devices.max_metrics); "
        "the known ones still work",
        device="d1",
        metric="c",
    ),
    Case(
        Reason.TYPE_CONFLICT,
        said("d1", t="ERR"),
        "/values/t",
        "the metric is double on this device, this value is text; send one kind, or set devices.kind_change=keep",
        device="d1",
        metric="t",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.reason.value)
async def test_a_refusal_at_the_door(case: Case) -> None:
    door = Door(devices=settings.DeviceSettings(max_metrics=2, kind_change="refuse"))
    door.directory.add("d1", "d2", "off")
    door.directory.set_enabled("off", enabled=False)
    answer = await door.post([GOOD, case.item], principal=case.principal)
    assert answer.refusals == [expected(case)]
    assert answer.messages[0].values == {"t": ("double", 1.0)}


async def test_devices_and_metrics_that_are_one_too_many() -> None:
    rules = settings.DeviceSettings(unknown="auto", max_auto=2, new_metrics_per_sec=1)
    door = Door(devices=rules)
    door.directory.add("d1", "d2")
    answer = await door.post([GOOD, said("d3", t=1), said("d2", **{f"m{i}": i for i in range(10)})])
    assert [(one.code, one.path, one.readings, one.message) for one in answer.refusals] == [
        (
            "device_limit",
            "/1",
            1,
            (
                "device 'd3' is not registered, and no more are made by themselves now: there are 2 devices "
                "(devices.max_auto); register it ('gateway device add'), raise the limit, or send this again later"
            ),
        ),
        (
            "new_metrics_limit",
            "/2",
            10,
            (
                "these 10 metrics were never reported together, and no more new ones are taken now: 1 a second "
                "(devices.new_metrics_per_sec); the known ones still work; send these again later, in smaller parts, "
                "or raise the limit"
            ),
        ),
    ]
    assert len(answer.messages) == 1


async def test_a_device_that_is_not_the_one_of_the_address() -> None:
    door = Door()
    door.directory.add("d1")
    answer = await door.post([GOOD, said("d2", t=1, h=2)], device="d1")
    assert answer.refusals == [
        Refusal(
            1,
            "/1/device",
            "device_mismatch",
            "the item names device 'd2', but this address is for 'd1'; send it there instead",
            device="d2",
            readings=2,
        )
    ]
    assert len(answer.messages) == 1


async def test_refusals_that_the_database_gives() -> None:
    door = Door()
    door.directory.add("d1")
    answer = await door.post([GOOD, said("d1", t=1, h=2), said("d1", t=3)])
    outcome = Outcome(stored=1, conflicts=[1], rejected=[(2, "value out of range for type smallint: '70000'")])
    assert with_late(Decoded(answer.batch, []), outcome, listed=10) == [
        Refusal(1, "/1", "conflict", CONFLICT, device="d1", readings=2),
        Refusal(
            2,
            "/2",
            "rejected_by_database",
            "the database refused it: value out of range for type smallint: '70000'; it lies in the dead letters",
            device="d1",
        ),
    ]


def test_every_reason_is_covered() -> None:
    elsewhere = {Reason.DEVICE_MISMATCH, Reason.CONFLICT, Reason.REJECTED_BY_DATABASE}
    elsewhere |= {Reason.DEVICE_LIMIT, Reason.NEW_METRICS_LIMIT}
    assert {case.reason for case in CASES} | elsewhere == set(Reason)
    assert not {case.reason for case in CASES} & elsewhere


def expected(case: Case) -> Refusal:
    path = f"/1{case.below}"
    return Refusal(1, path, case.reason.value, case.message, case.device, case.metric, case.readings)
