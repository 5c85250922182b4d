"""The database's line of history. In: every new connection. Out: whether it leads to where we were; no old primary.

Ids are numbers that one line of history has given out. After a failover that lost something, or a restore, another
server gives the same numbers to other names: so all that was learnt is forgotten before anything else is read or
written (a new *epoch*), and what was arranged with older ids is never written.
"""

from collections.abc import Callable

from gateway.core.errors import GatewayError, SinkFault, SinkUnavailable
from gateway.domain.timelines import Watermark, WatermarkStore
from gateway.telemetry import lineage_events
from gateway.timescale.connections.identity import Queryable, ServerIdentity, ask, site


class OldPrimary(Exception):
    """Why a database cannot be reached that answers: in the operator's words, and only for the operator."""


def moved() -> SinkUnavailable:
    """Return what to raise when the database became another one while it was asked."""
    return SinkUnavailable("the database became another one meanwhile; try again")


class Lineage:
    """Where the database's connections lead to. One per process, shared by its pools and its writer."""

    def __init__(self, *stores: WatermarkStore) -> None:
        self.epoch = 0
        """Grows when ids learnt so far may mean something else; connections of an older one are not used again."""
        self.server: ServerIdentity | None = None
        """The primary that was seen last; None before the first, and while there is only an old one."""
        self.site = ""
        """The short name of this line of this database's history; empty while it is not known."""
        self.on_change: list[Callable[[], None]] = []
        """Called when all that was learnt from the database must be forgotten."""
        self.on_move: list[Callable[[], None]] = []
        """Called when `site` has changed."""
        self._stores = stores
        self._watermarks: dict[str, Watermark] = {}
        self._only_standby = False
        """Whether only a standby was there to learn from, of which nobody knows what it follows."""

    async def check(self, connection: Queryable) -> None:
        """Look where a connection leads, before it is used.

        Raises SinkUnavailable because of an OldPrimary, and DATABASE_ERRORS.
        """
        watermarks = dict(self._watermarks)  # of before: what is flushed meanwhile must not look like lost
        server = await ask(connection)
        if server.standby:
            self._only_standby = self._only_standby or self.server is None
            return
        if self.server is None or not server.is_line_of(self.server):
            await self._share(server.key)
            watermarks = dict(self._watermarks)
            server = await ask(connection)
        self._admit(server, watermarks.get(server.key, Watermark()))
        if self._watermarks[server.key].value != watermarks.get(server.key, Watermark()).value:
            await self._share(server.key)

    async def share(self) -> None:
        """Tell others how far the cluster is, and hear it from them. Never raises."""
        if self.server is None:
            return
        key = self.server.key
        turn = self._watermarks.get(key, Watermark()).turn
        await self._share(key)
        if self.server is None or self.server.key != key:
            return
        if self.server.timeline < self._watermarks[key].timeline:
            self.server = None
        if self.server is None or turn != self._watermarks[key].turn:
            self._forget()
        self._settle()

    async def accept(self, connection: Queryable) -> ServerIdentity:
        """Take a server for the right one, whatever was seen before, and return it. Raises SinkFault: a standby."""
        server = await ask(connection)
        if server.standby:
            raise SinkFault("this server is a standby: it follows a primary, and takes no readings")
        await self._share(server.key)
        self._watermarks[server.key] = self._watermarks.get(server.key, Watermark()).turned(server.timeline)
        await self._share(server.key)
        return server

    def _admit(self, server: ServerIdentity, seen: Watermark) -> None:
        """Take a primary for the one to use, or raise SinkUnavailable because of an OldPrimary."""
        kept = self._watermarks.get(server.key, Watermark())
        if 0 < server.timeline < kept.timeline:
            sentence = _to_sentence(server, kept)
            lineage_events.old_primary(sentence)
            raise SinkUnavailable from OldPrimary(sentence)
        rewound = kept.at(server.timeline) == kept and kept.value == seen.value and 0 < server.inserted < seen.flushed
        kept = kept.turned(server.timeline) if rewound else kept.at(server.timeline)
        self._watermarks[server.key] = kept._replace(flushed=max(kept.flushed, server.flushed))
        known, self.server = self.server, server.after(self.server)
        if rewound or (self._only_standby if known is None else not server.is_same(known)):
            self._forget()
        self._only_standby = False
        if known is not None and (rewound or not server.is_line_of(known)):
            lineage_events.moved(known, self.server, rewound=rewound)
        self._settle()

    def _forget(self) -> None:
        self.epoch += 1
        for call in self.on_change:
            call()

    def _settle(self) -> None:
        """Tell everybody if the name has changed."""
        server = self.server
        name = "" if server is None else site(server, self._watermarks.get(server.key, Watermark()).turn)
        if name != self.site:
            self.site = name
            for call in self.on_move:
                call()

    async def _share(self, key: str) -> None:
        """Have what is highest, here and wherever it is kept."""
        for store in self._stores:
            try:
                kept = await store.merge(key, self._watermarks.get(key, Watermark()))
            except GatewayError:
                pass  # Redis is away, which is told where it matters; the disk remembers as well
            except OSError as exc:
                lineage_events.not_kept(exc)
            else:
                self._watermarks[key] = max(kept, self._watermarks.get(key, Watermark()))
        self._watermarks.setdefault(key, Watermark())


def _to_sentence(server: ServerIdentity, kept: Watermark) -> str:
    return (
        f"this database server is at timeline {server.timeline}, but timeline {kept.timeline} of the same cluster was"
        " seen: it is an old primary that another one has replaced, and what it stores is lost. Readings wait in the"
        " spool. Stop it, and let database.url lead to the new primary; if this server is the right one, run"
        " 'gateway database accept'"
    )
