"""Imports and tags: whatever bytes come, each row is taken or named; what is taken reads the same in both formats."""

import csv
import io
import json
import string
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core.errors import BadPayload, BadRequest, TooLarge
from gateway.domain.device_import import CSV, MAX_LINE_BYTES, MAX_LINES, NDJSON, parse
from gateway.domain.devices import (
    MAX_TAGS,
    DeviceFilter,
    DevicePatch,
    LastSeen,
    check_tags,
    is_tag_value,
    to_device_filter,
)
from gateway.domain.json_text import MARK
from gateway.domain.names import DEVICE_NAME

NAMES = st.text(alphabet=string.ascii_letters + string.digits + "._:-", min_size=1, max_size=128)
KEYS = st.text(alphabet=string.ascii_letters + string.digits + "._/-", min_size=1, max_size=64)
VALUES = st.text(max_size=256).filter(str.isprintable)
TAGS = st.dictionaries(KEYS, VALUES, max_size=6)
ALMOST_CSV = st.text(alphabet='device,tag:x\n\r"\0 ', max_size=60).map(lambda text: f"device,{text}".encode())
ROWS = st.lists(st.tuples(NAMES, st.none() | st.booleans(), TAGS), max_size=8)


@given(st.binary(max_size=400))
@example(MARK)
@example(b'{"device": "a"}\n\0')
def test_any_bytes_are_rows_of_ndjson(body: bytes) -> None:
    rows = parse(body, NDJSON)
    lines = body.removeprefix(MARK).split(b"\n")
    assert [row.line for row in rows] == [n for n, line in enumerate(lines, 1) if line.strip()]
    assert all((row.problem is None) <= bool(DEVICE_NAME.fullmatch(row.device or "")) for row in rows)


@given(st.binary(max_size=400) | ALMOST_CSV)
def test_any_bytes_are_csv_or_said_not_to_be(body: bytes) -> None:
    try:
        rows = parse(body, CSV)
    except (BadPayload, BadRequest, TooLarge):
        return
    assert all(row.problem is not None or DEVICE_NAME.fullmatch(row.device or "") for row in rows)
    assert sorted({row.line for row in rows}) == [row.line for row in rows]


@given(ROWS, st.sampled_from([b"", MARK]), st.sampled_from([str.lower, str.upper, str.title]))
@example([("a", True, {}), ("b", False, {"k": "v"}), ("c", None, {})], MARK, str.upper)
def test_both_formats_say_the_same(
    rows: list[tuple[str, bool | None, dict[str, str]]], mark: bytes, spelt: Callable[[str], str]
) -> None:
    objects = [
        {"device": name, "tags": {k: v for k, v in tags.items() if v}} | ({} if on is None else {"enabled": on})
        for name, on, tags in rows
    ]
    columns = sorted({key for _, _, tags in rows for key in tags})
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["enabled", "device", *(f"tag:{key}" for key in columns)])
    for name, on, tags in rows:
        writer.writerow(["" if on is None else spelt(str(on)), name, *(tags.get(key, "") for key in columns)])
    lines = "\n".join(map(json.dumps, objects)).encode()
    from_csv, from_json = parse(mark + text.getvalue().encode(), CSV), parse(mark + lines, NDJSON)
    assert [(row.device, row.change, row.problem) for row in from_csv] == [
        (row.device, row.change, row.problem) for row in from_json
    ]
    assert [row.device for row in from_csv] == [name for name, _, _ in rows]


@given(TAGS, st.dictionaries(KEYS, st.none() | VALUES, max_size=6), st.booleans())
def test_a_change_is_a_merge_patch(before: dict[str, str], patch: dict[str, str | None], clear: bool) -> None:
    """RFC 7396, section 2, for an object of texts."""
    expected = {} if clear else dict(before)
    for key, value in patch.items():
        if value is None:
            expected.pop(key, None)
        else:
            expected[key] = value
    assert DevicePatch(tags=patch, clear=clear).applied(enabled=True, tags=before) == (True, expected)
    assert DevicePatch(enabled=False).applied(enabled=True, tags=before) == (False, before)


@given(st.dictionaries(st.text(max_size=70), st.text(max_size=300), max_size=70))
def test_tags_that_are_let_in_can_be_stored(tags: dict[str, str]) -> None:
    try:
        check_tags(tags)
    except BadRequest:
        return
    assert len(tags) <= MAX_TAGS
    for key, value in tags.items():
        f"{key}{value}".encode()
        assert "\0" not in value
        assert 0 < len(key) <= 64
        assert ":" not in key


@given(TAGS, st.lists(KEYS, max_size=4))
def test_a_filter_says_what_was_asked(tags: dict[str, str], keys: list[str]) -> None:
    asked = [*(f"{key}:{value}" for key, value in tags.items()), *keys]
    assert to_device_filter(tags=asked) == DeviceFilter(tags=tags, keys=tuple(dict.fromkeys(keys)))


@given(st.lists(st.text(max_size=300), max_size=5))
def test_any_filter_is_read_or_refused(asked: list[str]) -> None:
    try:
        wanted = to_device_filter(tags=asked)
    except BadRequest:
        return
    assert {*wanted.tags, *wanted.keys} == {text.partition(":")[0] for text in asked}
    assert all(map(is_tag_value, wanted.tags.values()))


@given(st.none() | st.integers(0, 10**15), st.integers(0, 10**15), st.integers(1, 10**9))
def test_silence_is_no_reading_of_late(last_us: int | None, now_us: int, secs: int) -> None:
    seen = LastSeen(None, last_us)  # type: ignore[arg-type]
    heard = last_us is not None and last_us >= now_us - secs * 1_000_000
    assert seen.is_silent(secs, now_us=now_us) is not heard


@pytest.mark.parametrize("media", [NDJSON, CSV])
@pytest.mark.parametrize(
    ("body", "limit"),
    [
        (b"\n" * (MAX_LINES + 1), "lines"),
        (b"\r" * (MAX_LINES + 1), "lines"),
        (b"device," + b",".join(b"tag:t%d" % n for n in range(20_000)), "line_bytes"),
        (b'{"device": "' + b"x" * MAX_LINE_BYTES + b'"}', "line_bytes"),
    ],
    ids=["blank lines", "blank lines of another kind", "columns", "a long line"],
)
def test_an_import_of_nothing_but_length_is_refused_before_it_is_read(body: bytes, limit: str, media: str) -> None:
    with pytest.raises(TooLarge) as refused:
        parse(body, media)
    assert refused.value.details["limit"] == limit
