"""Tokens that there are not, and one that is revoked meanwhile."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import suppress

from tests.hostile.attack import Target, attack
from tests.hostile.lines import answer, anywhere, connect, flood, request

REVOKED_SECS = 2.0
"""Within which a stream of a revoked credential ends: what docs/http-api.md says."""
NEW_SECS = 1.0
"""Within which a token that was made just now is served."""
SLOWER = 20.0
"""Or so many times as long as when nobody attacks, where the machine is slow."""
STRANGERS = 1_500
"""As many come at once, which may be more than there are seats."""


def unknown(path: str = "/v1/devices/press-1/state") -> bytes:
    """Return a request with a token that nobody has ever seen."""
    return request("GET", path, b"Authorization: Bearer gwd_%b\r\n" % secrets.token_urlsafe(32).encode())


@attack("stranger", "tokens that there are not, each another one, from everywhere", rss_mib=32, in_short=False)
async def unknown_tokens(target: Target) -> AsyncIterator[None]:
    yield
    await flood(target, unknown, lines=200, address=anywhere)


@attack(
    "stranger", "1,500 unknown tokens at once, while tokens are made that must be served within a second", rss_mib=64
)
async def unknown_tokens_and_new_ones(target: Target) -> AsyncIterator[None]:
    _, usual = await _serve_new(target)
    most = max(NEW_SECS, SLOWER * usual)
    yield
    flooding = asyncio.ensure_future(flood(target, unknown, lines=STRANGERS))
    while target.left > NEW_SECS:
        await asyncio.sleep(0.3)
        status, took = await _serve_new(target)
        target.count(f"new token {status}")
        target.expect(that=status == 200, else_say=f"a new token is answered {status}")
        target.expect(that=took <= most, else_say=f"a new token waits longer than {most:.1f} s")
    await flooding


@attack("stranger", "unknown tokens, while a reader's key is revoked whose streams must end", rss_mib=32, share=1.5)
async def unknown_tokens_and_a_revoked_one(target: Target) -> AsyncIterator[None]:
    streams = [await connect(target) for _ in range(3)]
    key, number = await _new_key(target)
    for reader, writer in streams:
        writer.write(request("GET", "/v1/stream?snapshot=false", b"Authorization: Bearer %b\r\n" % key.encode()))
        await reader.readuntil(b"\r\n\r\n")
    yield
    flooding = asyncio.ensure_future(flood(target, unknown, lines=STRANGERS))
    await asyncio.sleep(0.5)
    status = await _once(target, request("DELETE", f"/v1/keys/{number}", target.bearer("admin")))
    target.expect(that=status == 204, else_say=f"revoking was answered {status}")
    began = time.monotonic()
    ended = await asyncio.gather(*(_ends(reader, target.left + 1) for reader, _ in streams))
    took = time.monotonic() - began
    target.count("ms until the streams end", round(1000 * took))
    target.expect(that=all(ended) and took <= REVOKED_SECS, else_say="streams of a revoked key live on")
    status = await _once(
        target, request("GET", "/v1/devices/honest-0/state", b"Authorization: Bearer %b\r\n" % key.encode())
    )
    target.expect(that=status == 401, else_say=f"a revoked key is answered {status}")
    await flooding


@attack("stranger", "unknown tokens on more connections than there are seats, from everywhere", rss_mib=160)
async def unknown_tokens_on_all_seats(target: Target) -> AsyncIterator[None]:
    yield
    await flood(target, unknown, lines=target.place.workers * target.place.seats * 11 // 10, address=anywhere)


@attack("stranger", "tokens of ten kilobytes, of other bytes, of none", rss_mib=32, in_short=False)
async def odd_tokens(target: Target) -> AsyncIterator[None]:
    odd = [b"x" * 10_000, b"\xff" * 40, b"", b"gwd_" + b"a" * 43, b"a b c", b"\xc2\xa0", b"Bearer"]
    requests = [request("GET", "/v1/devices/d/state", b"Authorization: Bearer %b\r\n" % each) for each in odd]
    requests.append(request("GET", "/v1/devices/d/state", b"Authorization: Basic %b\r\n" % (b"QQ" * 500)))
    turn = 0

    def make() -> bytes:
        nonlocal turn
        turn += 1
        return requests[turn % len(requests)]

    yield
    await flood(target, make, lines=16)


async def _new_token(target: Target) -> str:
    made = await _json(target, request("POST", "/v1/devices/press-3/keys:rotate", target.bearer("admin")))
    return str(made.get("token"))


async def _new_key(target: Target) -> tuple[str, int]:
    body = b'{"role":"reader","label":"revoked"}'
    made = await _json(target, request("POST", "/v1/keys", target.bearer("admin"), body=body))
    return str(made["token"]), int(str(made["id"]))


async def _serve_new(target: Target) -> tuple[int, float]:
    """Return what a token is answered that was made just now, and after how many seconds."""
    token = await _new_token(target)
    began = time.monotonic()
    mine = b"Authorization: Bearer %b\r\n" % token.encode()
    status = await _once(target, request("GET", "/v1/devices/press-3/state", mine))
    return status, time.monotonic() - began


async def _once(target: Target, data: bytes) -> int:
    with suppress(OSError, EOFError, TimeoutError):
        reader, writer = await connect(target, "127.0.0.7")
        writer.write(data)
        status, _ = await answer(reader)
        writer.close()
        return status
    return 0


async def _json(target: Target, data: bytes) -> dict[str, object]:
    reader, writer = await connect(target, "127.0.0.7")
    writer.write(data)
    _, body = await answer(reader)
    writer.close()
    found: dict[str, object] = json.loads(body)
    return found


async def _ends(reader: asyncio.StreamReader, secs: float) -> bool:
    with suppress(TimeoutError, OSError):
        async with asyncio.timeout(secs):
            while await reader.read(65_536):
                pass
            return True
    return False
