"""No record blocks a spool: one that cannot be stored while others are is tried, taken to pieces, parked, set aside."""

import asyncio
from collections.abc import Sequence

import pytest

from gateway.core.errors import SinkFault, SinkUnavailable
from gateway.domain.model import Batch, Outcome
from gateway.ingest.pipeline import poison as suspects
from gateway.ingest.pipeline.drainer import Drainer
from gateway.ingest.pipeline.poison import PATIENT_TRIES, TRIES, PoisonCheck, Suspects
from gateway.services.spool_replay import SpoolReplay
from gateway.telemetry import prometheus
from tests.builders.spooled import devices_in, many, named, names
from tests.fakes import MemoryDeadLetters
from tests.fakes.spool import MemorySpool
from tests.unit.ingest.pipeline.drain_bench import Bench, Highest, virtual

ERRORS = [SinkFault("XX000: no"), RuntimeError("a mistake"), SinkUnavailable("locks")]


class Poisoned(Bench):
    """A database that answers, but fails whenever it is given certain devices; without `away`, that is."""

    def __init__(self, *poison: str, error: Exception, spool: MemorySpool | None = None) -> None:
        super().__init__(spool or MemorySpool())
        self.poison, self.error, self.away, self.tries = set(poison), error, False, 0
        self.live_commits = 0
        self.letters = MemoryDeadLetters()
        self.dropped: list[Sequence[str]] = []
        """Devices that the state was to forget."""
        replay = SpoolReplay(
            self.sink.write,
            self._publish,
            self.letters,
            show_spooled=self._publish,
            answers=self._answers,
            drop=self.dropped.append,
        )
        replay.store = self.store  # type: ignore[method-assign, assignment]
        self.drainer = Drainer(
            self.spools,
            self.store,
            bury=self.bury,
            busy=lambda: False,
            rng=Highest(),
            max_rows=10_000,
            poison_check=PoisonCheck(self._answers, replay.rescue, lambda: len(self.stored) + self.live_commits),
        )

    async def store(self, group: Sequence[Batch]) -> list[Outcome]:
        if self.away or not self.poison.isdisjoint(device for one in group for device in one.devices):
            self.tries += 1
            raise type(self.error)(*self.error.args)
        return await super().store(group)

    async def until_empty(self) -> None:
        async with asyncio.timeout(10_000):
            while self.drainer.waiting().rows:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(1)

    async def _publish(self, blocks: object) -> None: ...

    async def _answers(self) -> bool:
        return not self.away


@pytest.mark.parametrize("error", ERRORS, ids=["fault", "mistake", "unavailable"])
@pytest.mark.parametrize("at", [0, 7, 19])
def test_what_stands_behind_it_is_drained_at_once_and_it_is_parked_after_its_tries(error: Exception, at: int) -> None:
    async def main() -> None:
        bench = Poisoned("bad", error=error)
        others = many(19)
        for one in [*others[:at], named("bad"), *others[at:]]:
            await bench.spools[0].append([one])
        async with bench.drainer as running:
            await asyncio.sleep(0.4)
            assert await devices_in(bench.spools[0]) == ["bad"]
            assert sorted(bench.order) == sorted(names(19))
            assert running.waiting().error == str(error)
            await bench.until_empty()
            assert running.waiting().error == ""
        (letter,) = bench.letters.letters
        assert (letter.source, letter.code, letter.device) == ("database", "rejected_by_database", "bad")
        assert str(error) in letter.detail
        divisions = 6
        tries = PATIENT_TRIES if isinstance(error, SinkUnavailable) else TRIES
        assert tries < bench.tries <= tries + divisions

    virtual(main)


def test_of_a_batch_only_the_messages_that_cannot_be_stored_are_parked() -> None:
    async def main() -> None:
        bench = Poisoned("bad", error=SinkFault("no"))
        mixed = named("d", 30)
        mixed.devices[11] = mixed.devices[17] = "bad"
        before = prometheus.dead_letters[("database", "rejected_by_database")]._value.get()
        await bench.spools[0].append([mixed])
        async with bench.drainer:
            await bench.until_empty()
        assert len(bench.sink.messages) == 28
        assert [letter.device for letter in bench.letters.letters] == ["bad", "bad"]
        assert prometheus.dead_letters[("database", "rejected_by_database")]._value.get() == before + 2
        ((_, outcome),) = bench.buried
        assert [place for place, _ in outcome.rejected] == [11, 17]
        assert {"bad", "d"} <= {device for devices in bench.dropped for device in devices}
        assert outcome.stored == 28 * 2

    virtual(main)


@pytest.mark.parametrize("error", ERRORS, ids=["fault", "mistake", "unavailable"])
def test_while_the_database_is_away_or_refuses_everybody_nothing_is_parked(error: Exception) -> None:
    async def main() -> None:
        bench = Poisoned("bad", error=error)
        bench.away = True
        for one in [named("bad"), *many(3)]:
            await bench.spools[0].append([one])
        async with bench.drainer:
            await asyncio.sleep(200)
            assert await devices_in(bench.spools[0]) == ["bad", *names(3)]
            assert not bench.letters.letters
            bench.away = False
            bench.drainer.kick()
            await bench.until_empty()
        assert [letter.device for letter in bench.letters.letters] == ["bad"]
        assert bench.order == names(3)

    virtual(main)


def test_what_the_dead_letters_do_not_take_either_is_set_aside_in_the_file() -> None:
    async def main() -> None:
        spool = MemorySpool()
        bench = Poisoned("bad", error=SinkFault("no"), spool=spool)
        bench.letters.away = True
        for one in [named("bad"), *many(3)]:
            await spool.append([one])
        async with bench.drainer:
            await bench.until_empty()
        assert bench.order == names(3)
        ((batch, why),) = spool.aside
        assert (batch.devices, why) == (["bad"], SinkUnavailable().message)

    virtual(main)


def test_a_burial_that_fails_for_one_batch_does_not_hold_back_the_others() -> None:
    async def main() -> None:
        spool = MemorySpool()
        bench = Poisoned(error=SinkFault("no"), spool=spool)
        await bench.sink.write([named("d1")])
        clash = named("d1")
        clash.doubles[0] = 99.0
        bench.fails_to_bury = RuntimeError("no room for it")
        for one in [clash, named("d2"), named("d3")]:
            await spool.append([one])
        async with bench.drainer:
            await bench.until_empty()
        assert {"d2", "d3"} <= set(bench.order)
        ((batch, why),) = spool.aside
        assert (batch.devices, why) == (["d1"], "no room for it")

    virtual(main)


def test_a_fault_that_mends_itself_parks_nothing() -> None:
    async def main() -> None:
        bench = Poisoned("bad", error=SinkUnavailable("locked"))
        for one in [named("bad"), *many(3)]:
            await bench.spools[0].append([one])
        async with bench.drainer:
            await asyncio.sleep(20)
            bench.poison.clear()
            await bench.until_empty()
        assert bench.order == [*names(3), "bad"]
        assert not bench.letters.letters

    virtual(main)


def test_many_suspects_come_to_an_end_once_others_pass() -> None:
    async def main() -> None:
        poison = [f"bad{n}" for n in range(60)]
        bench = Poisoned(*poison, error=SinkFault("no"))
        for one in [*(named(name) for name in poison), *many(3)]:
            await bench.spools[0].append([one])
        async with bench.drainer:
            await bench.until_empty()
        assert len(bench.letters.letters) == len(poison)
        assert bench.order == names(3)

    virtual(main)


@pytest.mark.parametrize("error", ERRORS, ids=["fault", "mistake", "unavailable"])
def test_where_nothing_passes_nothing_is_parked_whatever_a_probe_says(error: Exception) -> None:
    """A probe may be blind to what is wrong: then every record fails, and all of them wait."""

    async def main() -> None:
        bench = Poisoned(*names(30), error=error)
        for one in many(30):
            await bench.spools[0].append([one])
        async with bench.drainer as running:
            await asyncio.sleep(400)
            assert not bench.letters.letters
            assert sorted(await devices_in(bench.spools[0])) == sorted(names(30))
            assert running.waiting().error
            assert bench.tries < 400, "it does not try without a rest"
            bench.poison.clear()
            await bench.until_empty()
        assert sorted(bench.order) == sorted(names(30))
        assert not bench.letters.letters

    virtual(main)


@pytest.mark.parametrize("live", [True, False])
def test_a_single_record_is_parked_soon_if_live_traffic_passes_and_later_if_nobody_writes(live: bool) -> None:
    async def main() -> None:
        bench = Poisoned("bad", error=SinkFault("no"))
        await bench.spools[0].append([named("bad")])
        async with bench.drainer:
            await asyncio.sleep(0.3)
            bench.live_commits += live
            await asyncio.sleep(10)
            assert bool(bench.letters.letters) is live
            await bench.until_empty()
        assert [letter.device for letter in bench.letters.letters] == ["bad"]

    virtual(main)


def test_the_rests_of_a_suspect_grow_and_are_bounded() -> None:
    known, now, rests = Suspects(), 0.0, []
    error = SinkUnavailable()
    for _ in range(PATIENT_TRIES):
        one = known.note("spool", 1, error, now=now, proofs=0)
        rests.append(one.next_at - now)
        assert known.resting("spool", now) == {1}
        now = one.next_at
        assert known.resting("spool", now) == set()
    assert known.is_guilty(one, error, proofs=1)
    assert rests == [min(0.5 * 2**n, suspects.LONGEST_SECS) for n in range(PATIENT_TRIES)]
    known.keep_only(["another"])
    assert not known
