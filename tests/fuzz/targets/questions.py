"""What stands in addresses and headers: questions about history, media types, ETags, and whom proxies speak for."""

from urllib.parse import parse_qs

from gateway.core.errors import ClientError
from gateway.web.handlers.history_query import BucketsQuery, DevicesHistoryQuery, RowsQuery, to_history_query
from gateway.web.http.etag import if_match, matches
from gateway.web.http.path import check_device
from gateway.web.http.query import read_query
from gateway.web.limits.client_address import Addresses
from tests.fuzz.target import target

NOW_US = 1_732_277_000_123_000
LAST_US = 253_402_300_800_000_000
BEHIND = Addresses("10.0.0.0/8, fd00::/8")
ANNOUNCED = Addresses("10.0.0.0/8", header="forwarded")


@target(
    "questions",
    "query strings and Accept of history",
    [
        b"device=d1,d2&from=-24h&every=5m&fn=avg,max&tz=Europe/Berlin\0text/csv;q=0.5, application/json",
        b"device=d1&from=2024-11-22T12:03:20Z&to=now&points=500&bigint=string\0*/*",
        b"device=d1&metric=t&order=desc&limit=10&cursor=abc\0",
    ],
)
def questions(data: bytes) -> None:
    """A question about a span of time that can be asked, or an error that is answered."""
    query, _, accepted = data.decode("latin-1").partition("\0")
    query = query.encode("ascii", "ignore").decode()  # the target of a request has no other bytes
    try:
        asked = read_query(DevicesHistoryQuery, parse_qs(query, keep_blank_values=True, errors="replace"))
        for name in asked.device:
            check_device(name)
        found = to_history_query(asked, list(asked.device), [accepted], now_us=NOW_US)
    except ClientError:
        return
    assert 0 <= found.span.start_us <= found.span.end_us <= LAST_US
    assert isinstance(found.wanted, RowsQuery | BucketsQuery) or found.wanted.points > 0


@target(
    "addresses",
    "X-Forwarded-For, Forwarded and ETags",
    [b"1.2.3.4, 10.0.0.1", b'for="[2001:db8::1]:80";by=x, for=10.1.1.1', b'W/"a", *'],
)
def addresses(data: bytes) -> None:
    """An address that is short, whoever made it up; and ETags that match only what is named."""
    words = data.decode("latin-1")
    for known in (BEHIND, ANNOUNCED):
        assert 0 < len(known.of("10.0.0.1", [words])) <= 50
        assert known.of("192.0.2.1", [words]) == "192.0.2.1"
    assert matches([words], '"a"') <= ('"a"' in words or "*" in words)
    assert all(isinstance(each, str) for each in if_match([words]) or [])
