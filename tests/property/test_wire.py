"""Any bytes in: a decoded batch that holds together, refusals that name real places, or BadPayload / TooLarge."""

import json
from collections.abc import Callable
from math import isfinite
from typing import Any

from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from gateway.core.errors import BadPayload, TooLarge
from gateway.core.slices import at_once
from gateway.core.timestamps import MAX_US
from gateway.domain.layouts import Layouts
from gateway.domain.model import MAX_EXACT, Decoded, Outcome, Refusal
from gateway.domain.names import METRIC_NAME
from gateway.domain.reasons import Reason
from gateway.ingest import receipts, wire
from gateway.ingest.wire import careful, fast
from gateway.ingest.wire.device_time import parse_timestamp
from gateway.ingest.wire.limits import Limits
from gateway.ingest.wire.values import is_storable
from tests.property.bodies import bodies, dump, hostile, items, mutated, plain_bodies
from tests.unit.ingest.wire.decoded import RECEIVED_US, Message, resolve, to_messages

DECLARED = ("count",)
PLENTY = 10**6

many = settings(max_examples=300, deadline=None)


def make_layouts() -> Layouts:
    layouts = Layouts()
    layouts.declare_ints(DECLARED)
    return layouts


def decode(body: bytes, layouts: Layouts, *, device: str | None, max_readings: int = PLENTY) -> Decoded | None:
    """Decode as `intake` does; None: the body as a whole was refused, in one of the two ways there are."""
    try:
        return wire.decode(body, None, layouts, device=device, received_us=RECEIVED_US, max_readings=max_readings)
    except (BadPayload, TooLarge):
        return None


@many
@given(body=hostile(), device=st.sampled_from([None, "d1"]), max_readings=st.sampled_from([1, 3, PLENTY]))
@example(body=b"[" * 100_000, device=None, max_readings=PLENTY)
@example(body=b'{"a":' * 100_000, device=None, max_readings=PLENTY)
@example(body=b'{"device": "d", "values": {"t": 1' + b"0" * 400 + b', "s": "x"}}', device=None, max_readings=PLENTY)
@example(body=b'{"device": "d", "values": {"t": 1' + b"0" * 5000 + b"}}", device=None, max_readings=PLENTY)
@example(body=b'\xef\xbb\xbf{"device": "d", "values": {"t": 1}}', device=None, max_readings=PLENTY)
@example(body=b'{"device": "d\xed\xa0\x80", "values": {"t": 1}}', device=None, max_readings=PLENTY)
@example(body=b'{"device": "d", "values": {"\\ud800": 1}}', device=None, max_readings=PLENTY)
@example(body=b'{"ts": [1], "values": {}}', device="d1", max_readings=PLENTY)
def test_any_bytes_become_readings_refusals_or_a_clean_no(body: bytes, device: str | None, max_readings: int) -> None:
    layouts = make_layouts()
    decoded = decode(body, layouts, device=device, max_readings=max_readings)
    if decoded is None:
        return
    check_columns(decoded, layouts)
    check_refusals(body, decoded, layouts)
    received = decoded.batch.readings + sum(refusal.readings for refusal in decoded.refusals)
    assert received <= max_readings
    receipt = receipts.to_receipt(decoded, Outcome(0), decoded.refusals, max_errors=100)
    assert json.loads(receipts.to_json(receipt))["refused"] == received


@many
@given(body=plain_bodies().map(lambda posted: posted[0]) | mutated(), device=st.sampled_from([None, "d1"]))
@example(body=b'{"device": "d", "ts": "2024-11-22T12:03:20.9999999Z", "values": {"t": 1}}', device=None)
@example(body=b'{"device": "d", "ts": 1732277000123456789, "values": {"t": 1}}', device=None)
@example(body=b'{"device": "d", "values": {"t": 9007199254740993}}', device=None)
@example(body=b'{"device": "d", "values": {"t": -9007199254740993, "s": ""}}', device=None)
@example(body=dump({"device": "d", "ts": list(range(40)), "values": {"t": [2**53 + 1, *range(39)]}}), device=None)
@example(body=dump({"device": "d", "ts": list(range(40)), "values": {"t": [-(2**53) - 1, *range(39)]}}), device=None)
@example(body=b'{"device": "d", "device": "e", "values": {"t": 1, "t": true, "t": "x"}}', device=None)
@example(body=b"[]", device=None)
@example(body=b'[{"readings": []}, {"readings": [{"values": {"t": 1}}]}]', device="d1")
@example(body=b'[{"ts": [], "values": {"t": []}}, {"ts": [1], "values": {"t": [1]}}]', device="d1")
def test_what_is_read_whole_is_read_the_same_item_by_item(body: bytes, device: str | None) -> None:
    whole, single = make_layouts(), make_layouts()
    batch = fast.decode(body, whole, device=device, received_us=RECEIVED_US)
    event("read whole" if batch is not None else "left to careful")
    if batch is None:
        return
    slow = at_once(careful.decode(body, single, Limits(PLENTY, PLENTY), device=device, received_us=RECEIVED_US))
    assert slow.refusals == []
    assert to_messages(batch, whole) == to_messages(slow.batch, single)
    for number, message in enumerate(to_messages(batch, whole)):
        for metric in (None, *message.values):
            assert batch.origins.locate(number, metric) == slow.batch.origins.locate(number, metric)


@many
@given(posted=bodies(items()) | plain_bodies(), device=st.sampled_from([None, "d1"]))
def test_every_reading_posted_is_kept_or_refused(posted: tuple[bytes, int], device: str | None) -> None:
    body, readings = posted
    decoded = decode(body, make_layouts(), device=device)
    assert decoded is not None
    assert decoded.batch.readings + sum(refusal.readings for refusal in decoded.refusals) == readings


@many
@given(posted=bodies(items()) | plain_bodies(), device=st.sampled_from([None, "d1"]))
def test_every_kept_value_is_the_one_at_its_place(posted: tuple[bytes, int], device: str | None) -> None:
    layouts = make_layouts()
    decoded = decode(posted[0], layouts, device=device)
    assert decoded is not None
    document = json.loads(posted[0])
    for number, message in enumerate(to_messages(decoded.batch, layouts)):
        check_message(document, number, message, decoded)


@many
@given(posted=bodies(items()), device=st.sampled_from([None, "d1"]))
def test_the_same_body_decodes_the_same_again(posted: tuple[bytes, int], device: str | None) -> None:
    layouts = make_layouts()
    first = decode(posted[0], layouts, device=device)
    again = decode(posted[0], layouts, device=device)
    assert first is not None
    assert again is not None
    assert to_messages(first.batch, layouts) == to_messages(again.batch, layouts)
    assert first.batch.layouts == again.batch.layouts
    assert first.refusals == again.refusals


def check_columns(decoded: Decoded, layouts: Layouts) -> None:
    """The columns belong together, and PostgreSQL can hold all that is in them."""
    batch, table = decoded.batch, layouts.table
    used = [table[number] for number in batch.layouts]
    assert len(batch) == len(batch.times) == len(batch.layouts)
    assert len(batch.doubles) == sum(len(layout.doubles) for layout in used)
    assert len(batch.ints) == sum(len(layout.ints) for layout in used)
    assert len(batch.texts) == sum(len(layout.texts) for layout in used)
    assert batch.readings == sum(layout.width for layout in used)
    assert all(0 <= time_us <= MAX_US for time_us in batch.times)
    assert all(map(isfinite, batch.doubles))
    assert all(map(is_storable, batch.texts))
    assert all(METRIC_NAME.fullmatch(metric.name) for layout in used for metric in layout.posted)


def check_refusals(body: bytes, decoded: Decoded, layouts: Layouts) -> None:
    """Each pointer resolves, below the item of its index, to something that deserves the refusal."""
    if not decoded.refusals:
        return
    document = json.loads(body.decode("utf-8-sig"))
    for refusal in decoded.refusals:
        if isinstance(document, list):
            assert refusal.path.split("/")[1] == str(refusal.index)
        else:
            assert refusal.index == 0
        assert refusal.readings >= 1
        found = resolve(document, refusal.path)
        deserved = DESERVED.get(Reason(refusal.code))
        if deserved is not None:
            assert deserved(found, refusal), (refusal, found)


def is_no_moment(found: Any) -> bool:
    try:
        parse_timestamp(found)
    except (ValueError, TypeError):
        return True
    return False


def holds_no_values(found: Any, token: str) -> bool:
    """Whether that is an item with no value in it, or an empty or malformed part that should hold some."""
    if isinstance(found, dict) and token not in {"values", "readings"}:
        return "value" not in found and "values" not in found
    return not found or not isinstance(found, list if token == "readings" else dict)


def last_token(refusal: Refusal) -> str:
    return refusal.path.rpartition("/")[2].replace("~1", "/").replace("~0", "~")


DESERVED: dict[Reason, Callable[[Any, Refusal], bool]] = {
    Reason.BAD_ITEM: lambda found, _: not isinstance(found, dict),
    Reason.NO_VALUES: lambda found, refusal: holds_no_values(found, last_token(refusal)),
    Reason.UNKNOWN_FIELD: lambda _, refusal: last_token(refusal) not in {"device", "readings"},
    Reason.LENGTH_MISMATCH: lambda found, refusal: (
        str(len(found) if isinstance(found, list) else "no list") in refusal.message
    ),
    Reason.MISSING_DEVICE: lambda found, _: found.get("device") is None,
    Reason.BAD_DEVICE_NAME: lambda found, _: found is not None and not isinstance(found, str),
    Reason.DEVICE_MISMATCH: lambda found, _: found != "d1",
    Reason.BAD_TIMESTAMP: lambda found, _: is_no_moment(found),
    Reason.BAD_VALUE: lambda found, _: found is None or isinstance(found, dict | list),
    Reason.NOT_FINITE: lambda found, _: isinstance(found, float) and not isfinite(found),
    Reason.INT_OUT_OF_RANGE: lambda found, _: type(found) is int and abs(found) > MAX_EXACT,
    Reason.BAD_TEXT: lambda found, _: isinstance(found, str) and not is_storable(found),
    Reason.TEXT_TOO_LONG: lambda found, _: len(found.encode("utf-8", "surrogatepass")) > 4096,
    Reason.BAD_METRIC_NAME: lambda found, refusal: (
        isinstance(found, dict)  # it has no metric, or one that cannot be pointed at
        or not METRIC_NAME.fullmatch(last_token(refusal))
        or last_token(refusal) == "metric"
    ),
}


def posted_time(document: Any, number: int, decoded: Decoded) -> int:
    """The time that was posted for a message; absent: of receipt, a microsecond apart."""
    place = resolve(document, decoded.batch.origins.locate(number, None)[1])
    ts = place.get("ts") if isinstance(place, dict) else place
    return RECEIVED_US + number if ts is None else parse_timestamp(ts)


def check_message(document: Any, number: int, message: Message, decoded: Decoded) -> None:
    for metric, (_, value) in message.values.items():
        index, path = decoded.batch.origins.locate(number, metric)
        posted = resolve(document, path)
        assert posted == value
        assert isinstance(posted, bool) == isinstance(value, bool)
        item = document[index] if isinstance(document, list) else document
        assert item.get("device") in (None, message.device)
        assert message.time_us == posted_time(document, number, decoded)
        assert metric in path.replace("~1", "/") or item.get("metric") == metric
