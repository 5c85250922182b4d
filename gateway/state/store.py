"""The newest state on Redis or Valkey: one script call per batch, one round trip per read.

The marker says that the state is complete: it holds the run id of the server it was written on, so it says nothing on
a replica that took over or after a restart, and is gone with the rest after a flush. Reads look at it every time.
A device's own mark says that its key holds all of it, and is gone with the key when that is evicted or deleted.
"""

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Literal, NamedTuple

import redis.asyncio as redis
from redis.exceptions import ConnectionError as RedisGone
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisSlow

from gateway.core import settings
from gateway.core.errors import StateUnavailable
from gateway.domain.contracts.newest import NewestMessage
from gateway.domain.model import Block
from gateway.state import codec
from gateway.state.client import open_client
from gateway.state.redis_server import RedisServer, server_of
from gateway.state.removed_devices import KEEP_SECS, mark_of
from gateway.state.script_connection import Script, ScriptConnection
from gateway.state.stale_sites import Sites
from gateway.telemetry import state_events

DEAD_MS = 5000
"""A gateway silent for so long is taken for dead: what it committed last may be missing in the state."""
GIVEN_UP_MS = 30_000
"""A rebuild that makes no step for so long is taken for given up, if its gateway lives; else that decides."""
# '#' is in no device's name.
MARKER, REBUILD, GATEWAYS = b"#complete", b"#rebuild", b"#gateways"
WATCH, LOG = b"#watch", b"#live"
"""Who wants changes, and the log of them: see live_log.py."""
NOT_REACHED = (RedisGone, RedisSlow, OSError, TimeoutError)

Step = Literal["begin", "go on", "finish", "leave"]


class Progress(NamedTuple):
    """How far a rebuild is."""

    done: int
    total: int
    """Series (a shape of a device)."""


class Condition(NamedTuple):
    """How complete the state is."""

    complete: bool
    rebuild: Progress | None
    """The one under way, by whichever gateway."""
    server: bytes
    """The server's run id."""


class RedisState:
    """The state of one installation; `site` names the database it is derived from, so that no other is read."""

    def __init__(self, client: "redis.Redis", scripts: ScriptConnection, *, site: str, device_bytes: int) -> None:
        """`device_bytes` is what one device may take: of one with more the database tells the newest values.

        `scripts` is for what is called all the time.
        """
        self._client = client
        self._scripts = scripts
        self._device_bytes = device_bytes
        self._site = site
        self._name = secrets.token_hex(8)
        self._newest_wins = Script(script("device_size") + script("newest_wins"))
        self._check = client.register_script(script("check"))
        self._mark_incomplete = client.register_script(script("mark_incomplete"))
        self._rebuild = client.register_script(script("rebuild"))
        self._claim = client.register_script(script("claim"))
        self._restore = client.register_script(script("device_size") + script("restore"))
        self._read = Script(script("read"))
        self._newest_times = Script(script("newest_times"))
        self._sites = Sites(client, script("sites"))
        self._note_removal = client.register_script(script("note_removal"))
        self._server = b""
        self._away = False

    @property
    def _prefix(self) -> bytes:
        if not self._site:
            raise StateUnavailable("the database, whose state this is, has not been reached yet")
        return f"gateway:{self._site}:".encode()

    @property
    def site(self) -> str:
        """Which database this is the state of; empty as long as that is not known."""
        return self._site

    def belong_to(self, site: str) -> None:
        """Say which database this is the state of, once that is known; until then nothing is read or written."""
        self._site = site

    async def apply(self, blocks: Sequence[Block], *, later_wins: bool = True, spooled: bool = False) -> list[str]:
        """Keep each message if it is not older than what is there. Raises StateUnavailable.

        Of messages of equal times the later one given wins, or without `later_wins` the one that is there. `spooled`
        ones are not in the database yet: when they are given again as stored, that is no repeat. Returned are devices
        that were not there: until they are filled they are not whole.
        """
        blob = b"".join([codec.to_blob(block) for block in blocks])
        if not blob:
            return []
        prefix = self._prefix
        async with self._asking():
            left_out, part = await self._scripts.call(
                self._newest_wins,
                [prefix, prefix + WATCH, prefix + LOG],
                [blob, int(later_wins), int(spooled), self._device_bytes],
            )
        self._away = False
        state_events.left_out(int(left_out))
        return [device.decode() for device in part]

    async def claim(self, devices: Sequence[str], *, anew: bool = False) -> list[bytes]:
        """Say that devices are about to be read to be filled; `anew` forgets them first. Raises StateUnavailable.

        Returned is for each what `restore` wants, empty if it is whole.
        """
        prefix, claim = self._prefix, "c" + secrets.token_hex(8)
        async with self._asking():
            found: list[bytes] = await self._claim(keys=[prefix], args=[claim, int(anew), *devices])
        return found

    async def restore(
        self, devices: Sequence[str], claims: Sequence[bytes], stored: Sequence[Sequence[NewestMessage]]
    ) -> int:
        """Fill devices unless they were lost since they were claimed. Raises StateUnavailable.

        Returned is how many are whole now.
        """
        args: list[bytes | str | int] = [self._device_bytes]
        for device, claim, messages in zip(devices, claims, stored, strict=True):
            if claim:
                args += [device, claim, b"".join(map(codec.pack, messages))]
        if len(args) == 1:
            return 0
        async with self._asking():
            return int(await self._restore(keys=[self._prefix], args=args))

    async def read(self, devices: Sequence[str]) -> list[list[NewestMessage] | None]:
        """Return all that is known of each device, None of one that is not whole; in order.

        Raises StateUnavailable: at once after a call that failed, until another one succeeds; and while the state is
        not known to be complete (see `check`).
        """
        if self._away:
            raise StateUnavailable
        prefix = self._prefix
        async with self._asking(NOT_REACHED):
            marker, *hashes = await self._scripts.call(self._read, [prefix, prefix + MARKER], devices)
            if not marker or marker != self._server:
                raise StateUnavailable("the state is not complete; it is being rebuilt")
            try:
                return list(map(codec.unpack_all, hashes))
            except codec.NOT_OURS:
                return await self._without_foreign(devices, hashes)

    async def times(self, devices: Sequence[str]) -> list[int | None]:
        """Return the time of the newest message of each device (µs), in order; raises StateUnavailable as `read`."""
        if self._away:
            raise StateUnavailable
        prefix = self._prefix
        async with self._asking(NOT_REACHED):
            marker, *times = await self._scripts.call(self._newest_times, [prefix, prefix + MARKER], devices)
            if not marker or marker != self._server:
                raise StateUnavailable("the state is not complete; it is being rebuilt")
        return [time if time >= 0 else None for time in times]

    async def remove(self, devices: Sequence[str]) -> None:
        """Forget devices that are no more. Raises StateUnavailable."""
        prefix = self._prefix
        async with self._asking():
            await self._client.unlink(*[prefix + device.encode() for device in devices])

    async def note_removal(self, device: str, device_id: int) -> None:
        """Note that a device was removed: receipts for its readings are not repeated. Raises StateUnavailable."""
        if not self._site:
            raise StateUnavailable("the database, whose devices these are, has not been reached yet")
        async with self._asking():
            await self._note_removal(keys=[mark_of(self._site, device)], args=[device_id, KEEP_SECS])

    async def check(self) -> Condition:
        """Say that this gateway lives, and return how complete the state is. Raises StateUnavailable."""
        prefix = self._prefix
        keys = [prefix + key for key in (MARKER, REBUILD, GATEWAYS, WATCH)]
        async with self._asking():
            server, complete, done, total = await self._check(keys=keys, args=[self._name, DEAD_MS])
        self._server, self._away = server, False
        return Condition(bool(complete), None if total < 0 else Progress(done, total), server)

    async def tidy(self) -> None:
        """Remove some of what belongs to lines of history that no gateway uses any more. Raises StateUnavailable."""
        if self._site:
            await self._sites.tidy(self._site)

    async def step(self, step: Step, *, progress: Progress, server: bytes) -> bool:
        """Take a step of a rebuild of this state; `server` is the run id when it began. Raises StateUnavailable.

        `begin` fails, returning False, while there is another rebuild; every later step if the state may have lost
        something since then. `finish` declares it complete.
        """
        prefix = self._prefix
        args: list[bytes | str | int] = [step, self._name, progress.done, progress.total, GIVEN_UP_MS, server]
        async with self._asking():
            return bool(await self._rebuild(keys=[prefix + MARKER, prefix + REBUILD], args=args))

    async def mark_incomplete(self) -> None:
        """Declare that changes are missing: state and rebuild are not complete, and the log of changes has a gap.

        Raises StateUnavailable.
        """
        prefix = self._prefix
        async with self._asking():
            await self._mark_incomplete(keys=[prefix + MARKER, prefix + REBUILD, prefix + WATCH])

    async def leave(self) -> None:
        """Say that this gateway stops, and that nothing it committed is missing here. Raises StateUnavailable."""
        prefix = self._prefix
        async with self._asking():
            await self._client.zrem(prefix + GATEWAYS, self._name)

    async def ping(self) -> None:
        """Raise StateUnavailable if the server does not answer."""
        async with self._asking():
            await self._client.ping()

    async def server(self) -> RedisServer:
        """Say what the server is and what it does when its memory is full. Raises StateUnavailable."""
        async with self._asking():
            return server_of(await self._client.info())

    async def _without_foreign(
        self, devices: Sequence[str], hashes: Sequence[list[bytes]]
    ) -> list[list[NewestMessage] | None]:
        """Drop the devices of which somebody else wrote something, so that they can be filled again."""
        found: list[list[NewestMessage] | None] = []
        for device, held in zip(devices, hashes, strict=True):
            try:
                found.append(codec.unpack_all(held))
            except codec.NOT_OURS:
                found.append(None)
                await self.remove([device])
        return found

    @asynccontextmanager
    async def _asking(self, away: tuple[type[Exception], ...] = (RedisError, *NOT_REACHED)) -> AsyncIterator[None]:
        """Translate errors; one of `away` means that reads need not try."""
        try:
            yield
        except (RedisError, *NOT_REACHED, *codec.NOT_OURS) as exc:
            self._away = self._away or isinstance(exc, away)
            raise StateUnavailable from exc


@asynccontextmanager
async def open_state(branch: settings.RedisSettings, *, site: str = "") -> AsyncIterator[RedisState]:
    """Open the store; nothing is connected yet on return, so it opens while Redis is away. Raises SettingsError."""
    secs = branch.timeout_secs
    async with open_client(branch.url, name="device-gateway", wait_secs=secs, connect_secs=secs) as client:
        scripts = ScriptConnection(client, wait_secs=secs, connect_secs=secs)
        with closing(scripts):
            yield RedisState(client, scripts, site=site, device_bytes=branch.device_bytes)


def script(name: str) -> str:
    """Return the source of one of the scripts beside this file."""
    return (Path(__file__).parent / f"{name}.lua").read_text()
