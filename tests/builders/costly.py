"""Bodies that are made to cost: each is small when it is compressed. Decides nothing, sends nothing."""

from typing import NamedTuple

PLAIN = b'{"device":"d1","ts":1700000000000,"values":{"t":1}}'
FLAT = b'{"device":"d1","metric":"t","ts":1700000000000,"value":1}'
TOO_LARGE, GOOD, PARTLY, NONE_GOOD, UNREADABLE = 413, 200, 207, 422, 400


class Costly(NamedTuple):
    """A body, and what is answered to it, sent plainly; compressed it may be 413, too."""

    name: str
    body: bytes
    status: int


def array(items: list[bytes]) -> bytes:
    return b"[" + b",".join(items) + b"]"


def item(values: bytes, *, ts: bytes = b"1700000000000") -> bytes:
    return b'{"device":"d1","ts":' + ts + b',"values":{' + values + b"}}"


def numbered(pattern: bytes, count: int) -> bytes:
    return b",".join([pattern % i for i in range(count)])


def bodies() -> list[Costly]:
    """The bodies of the issue, and their relatives."""
    many_stamps = b"[" + b",".join([b"1e-400"] * 3_000_000) + b"]"
    some_stamps = b"[" + b",".join([b"1e-400"] * 300_000) + b"]"
    empties = b"[" + b",".join([b"{}"] * 300_000) + b"]"
    escapes = b'"' + b"\\u0041" * 80_000 + b'"'
    return [
        Costly("3 million times", item(b'"t":[1]', ts=many_stamps), TOO_LARGE),
        Costly("300,000 times for one value", item(b'"t":[1]', ts=some_stamps), NONE_GOOD),
        Costly("a million names", item(numbered(b'"k%d":1', 1_000_000)), TOO_LARGE),
        Costly("90,000 names in one message", item(numbered(b'"k%d":1', 90_000)), NONE_GOOD),
        Costly(
            "20,000 new names", array([b'{"device":"d2","metric":"n%d","value":1}' % i for i in range(20_000)]), PARTLY
        ),
        Costly("nested arrays", b"[" * 8_000_000, UNREADABLE),
        Costly("nested objects", b'{"a":' * 1_500_000, UNREADABLE),
        Costly("8 million digits", item(b'"t":' + b"1" * 8_000_000), UNREADABLE),
        Costly("integers of 4,300 digits", array([item(b'"t":' + b"1" * 4300)] * 1800), NONE_GOOD),
        Costly("floats of a million digits", array([item(b'"t":0.' + b"1" * 1_000_000)] * 7), GOOD),
        Costly("one endless text", item(b'"t":"' + b"\\u0041" * 1_300_000 + b'"'), TOO_LARGE),
        Costly("long texts of escapes", array([item(b'"t":' + escapes)] * 16), NONE_GOOD),
        Costly("commas in texts", array([item(b'"t":"' + b"," * 4000 + b'"')] * 2000 + [b"5"]), PARTLY),
        Costly(
            "a key 300,000 times", b"{" + b",".join([b'"device":"d1"'] * 300_000) + b',"values":{"t":1}}', NONE_GOOD
        ),
        Costly("bad items", array([b"0"] * 100_000), NONE_GOOD),
        Costly("empty items", array([b"{}"] * 100_000), NONE_GOOD),
        Costly("empty objects in a value", item(b'"t":' + empties), NONE_GOOD),
        Costly("bad values", array([b'{"device":"d1","metric":"t","value":null}'] * 40_000), NONE_GOOD),
        Costly("long bad values", array([item(b'"t":{"a":"' + b"x" * 50 + b'"}')] * 30_000), NONE_GOOD),
        Costly("the last item is bad", array([FLAT] * 60_000 + [b"5"]), PARTLY),
        Costly("every other item is of another shape", array([PLAIN, FLAT] * 15_000), GOOD),
        Costly(
            "an unknown field above many moments",
            b'{"x":1,"readings":[' + b",".join([PLAIN] * 60_000) + b"]}",
            NONE_GOOD,
        ),
        Costly("many columns", item(numbered(b'"c%d":[1]', 90_000), ts=b"[1700000000000]"), NONE_GOOD),
        Costly("not UTF-8 at its end", array([PLAIN] * 40_000 + [b'"\xff"']), UNREADABLE),
        Costly("no JSON at its end", array([PLAIN] * 40_000 + [b"}"]), UNREADABLE),
        Costly("blanks", b" " * 8_000_000 + b"[]", TOO_LARGE),
    ]
