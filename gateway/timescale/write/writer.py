"""The writer. In: groups of batches. Out: committed rows, by one binary COPY and one COMMIT if nothing is in the way.

The path of a group: arrange it (ids for names, rows sorted by key, repeats folded: `assemble`), COPY it (`staging`),
settle what repeats a refused row, and tell each sender. A key that is stored already (23505) sends the group the slow
way: COPY to a temporary table, INSERT what is new, and compare the rest with what is stored. What the database does not
take as a whole is stored in parts (`bisect`), each with a COMMIT of its own; rows that it refuses become dead letters.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import NoReturn

import asyncpg
import numpy as np

from gateway.core import settings
from gateway.core.errors import AtomicTooWide, SinkUnavailable
from gateway.domain.contracts.ingest import DeadLetters, Written
from gateway.domain.dead_letters import to_dead_letters
from gateway.domain.model import Batch, Outcome
from gateway.domain.reasons import Reason
from gateway.telemetry import events
from gateway.timescale.connections.direct import DirectConnections
from gateway.timescale.connections.hosts import Direct
from gateway.timescale.connections.pool import classify, is_crowded
from gateway.timescale.registry.late_messages import REMOVED
from gateway.timescale.write.assemble import CONFLICT, Group, Sorted, newest, pairs, stored
from gateway.timescale.write.bisect import Bisector
from gateway.timescale.write.name_ids import Dictionary
from gateway.timescale.write.split import by_chunks, count_chunks
from gateway.timescale.write.staging import Stage

MANY_MESSAGES = 2000
"""More take some milliseconds for each thing that is done with them."""
ARRANGEMENTS = 3
"""How often a group is arranged, when ids change under it, before its sender is told to try again."""


class RolledBack(Exception):
    """Leaves the transaction without a trace."""


class Writer:
    """`contracts.Sink` on the database. Keeps as many connections as are written on at once."""

    def __init__(
        self,
        database: settings.DatabaseSettings,
        dictionary: Dictionary,
        dead_letters: DeadLetters,
        *,
        overwrite: bool,
    ) -> None:
        self._dictionary = dictionary
        self._lineage = dictionary.lineage
        self._dead_letters = dead_letters
        self._overwrite = overwrite
        self._stage = Stage(overwrite=overwrite)
        self._bisector = Bisector(self._stage)
        self._connections = DirectConnections(database, self._lineage, prepare=self._bisector.prepare)

    async def write(self, batches: Sequence[Batch], *, atomic: bool = False) -> Written:
        """Return after COMMIT; see contracts.Sink. What the database becoming another one overtakes is written anew."""
        for _ in range(ARRANGEMENTS):
            epoch = self._lineage.epoch
            try:
                written = await self._write(batches, epoch, atomic=atomic)
            except SinkUnavailable:
                if epoch == self._lineage.epoch:
                    raise
                continue
            if written is not None:
                return written
        raise SinkUnavailable("the registry changes faster than it can be read; try again")

    async def _write(self, batches: Sequence[Batch], epoch: int, *, atomic: bool) -> Written | None:
        """Return after COMMIT; None, with nothing written, if ids have changed since they were learnt."""
        group = Group(batches)
        await _let_others(group)
        if not group.names:
            return Written(group.outcomes(), [])
        parts = await self._arrange(group, epoch)
        if parts is None:
            return None
        if atomic:
            return await self._write_whole(group, parts, epoch)
        async with self._connections.lend(epoch) as connection:
            for piece in self._bisector.pieces(parts):
                await self._bisector.store(connection, group, piece)
            await self._settle(connection, group)
        if group.errors:
            await self._dead_letter(batches, group)
        return Written(group.outcomes(), newest(stored(group, parts)))

    async def _arrange(self, group: Group, epoch: int) -> list[Sorted] | None:
        """Return the messages as sorted blocks; None if a device was removed since its id was learnt: begin anew.

        The ids are those of this epoch, or else nothing is noted, and no connection is lent for them.
        """
        devices = np.array(await self._dictionary.device_ids(group.names), np.int32)
        shapes = await self._dictionary.shape_ids(group.layouts)
        gone = np.flatnonzero(devices == 0)
        if len(gone):  # each gets a number of its own, so that no two devices share a key
            numbers = {name: -n for n, name in enumerate(dict.fromkeys(group.names[i] for i in gone.tolist()), 1)}
            devices[gone] = [numbers[group.names[i]] for i in gone.tolist()]
        await _let_others(group)
        parts = group.blocks(devices, shapes, last_wins=self._overwrite)
        await _let_others(group)
        if len(gone):
            parts = _without_removed(group, parts)
        noted = [await self._dictionary.note_pairs(pairs(part.block), epoch=epoch) for part in parts]
        return parts if all(noted) else None

    async def _settle(self, connection: Direct, group: Group) -> None:
        """Give messages that repeat a refused one of their group a verdict of their own."""
        for piece in self._bisector.pieces(group.settle()):
            await self._stage.compare(connection, group, piece, width_us=self._bisector.room.width_us)

    async def _dead_letter(self, batches: Sequence[Batch], group: Group) -> None:
        await self._dead_letters.put(letters := to_dead_letters(batches, group.errors))
        events.dead_lettered("database", Reason.REJECTED_BY_DATABASE, count=len(letters), device=letters[0].device)

    async def _write_whole(self, group: Group, parts: list[Sorted], epoch: int) -> Written:
        """Store all of an atomic batch, or nothing. Raises AtomicTooWide for more chunks than can be locked."""
        if group.errors:
            return _rejected(group.errors)
        async with self._connections.lend(epoch) as connection:
            written = await self._store_whole(connection, group, parts)
        if written is None:
            self._refuse(parts)
        return written

    async def _store_whole(self, connection: Direct, group: Group, parts: list[Sorted]) -> Written | None:
        room = self._bisector.room
        if len(by_chunks(parts, room.width_us, room.new)) > 1:
            return None
        try:
            async with connection.transaction():
                await self._stage.put(connection, group, parts, width_us=room.width_us)
                if (group.verdicts == CONFLICT).any():
                    raise RolledBack
        except RolledBack:
            await self._settle(connection, group)
            return Written([Outcome(0, 0, np.flatnonzero(group.verdicts == CONFLICT).tolist())], [])
        except asyncpg.PostgresError as exc:
            if is_crowded(exc) and count_chunks(parts, room.width_us) > 1:
                return None
            if classify(exc) != "data":
                raise
            return _rejected(dict.fromkeys(range(len(group.names)), f"{exc.sqlstate}: {exc}"))
        return Written(group.outcomes(), newest(stored(group, parts)))

    def _refuse(self, parts: list[Sorted]) -> NoReturn:
        room = self._bisector.room
        chunks, hours = count_chunks(parts, room.width_us), (room.width_us or 0) // 3_600_000_000
        raise AtomicTooWide(
            f"the body has readings of {chunks} chunks of {hours} h, and with 'atomic' the database can take"
            f" {room.new} at once; send it without 'atomic', or in parts of less time",
            chunks=chunks,
            limit=room.new,
        )

    async def close(self) -> None:
        """Close the connections that are not in use."""
        await self._connections.close()


async def _let_others(group: Group) -> None:
    """Between two things that are done with a whole group, let others of the loop go on."""
    if len(group.names) > MANY_MESSAGES:
        await asyncio.sleep(0)


def _rejected(errors: Mapping[int, str]) -> Written:
    return Written([Outcome(0, 0, (), sorted(errors.items()))], [])


def _without_removed(group: Group, parts: Sequence[Sorted]) -> list[Sorted]:
    """Reject the messages whose device is not in the registry any more, and return the rest."""
    kept = []
    for part in parts:
        for message in part.messages[part.block.devices < 0].tolist():
            group.reject(message, REMOVED)
        rest = np.flatnonzero(part.block.devices > 0)
        if len(rest):
            kept.append(part.take(rest))
    return kept
