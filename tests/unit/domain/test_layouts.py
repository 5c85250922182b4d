"""The table of layouts is bounded and begins anew; batches made before keep the one they refer to."""

import asyncio

import pytest

from gateway.core import settings
from gateway.domain import layouts as module
from gateway.domain.layouts import Layouts
from gateway.domain.model import Decoded
from gateway.domain.principal import Principal, Role
from gateway.ingest.admission.admission import Admission
from gateway.ingest.wire import decode
from tests.fakes import MemoryDirectory, MemorySink

NOW = 1_700_000_000_000_000
ANYONE = Principal(Role.ADMIN)


def posted(layouts: Layouts, metric: str, value: float = 1.5) -> Decoded:
    body = f'{{"device": "d", "metric": "{metric}", "ts": 1700000000, "value": {value}}}'.encode()
    return decode(body, None, layouts, device=None, received_us=NOW, max_readings=10)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Layouts:
    monkeypatch.setattr(module, "MAX_LAYOUTS", 8)
    return Layouts()


def test_a_full_table_begins_anew_and_new_names_still_come_in(small: Layouts) -> None:
    batches = [posted(small, f"m{i}") for i in range(50)]
    assert not [refusal for _, refusals in batches for refusal in refusals]
    assert len(small.table) <= 4
    assert [b.table[b.layouts[0]].posted[0].name for b, _ in batches] == [f"m{i}" for i in range(50)]


def test_very_wide_messages_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WIDTH", 100)
    layouts = Layouts()
    for i in range(50):
        values = ", ".join(f'"m{i}_{j}": 1' for j in range(20))
        body = f'{{"device": "d", "values": {{{values}}}}}'.encode()
        decoded = decode(body, None, layouts, device=None, received_us=NOW, max_readings=100)
        assert decoded.batch.readings == 20
        assert sum(layout.width for layout in layouts.table) <= 100


async def test_batches_of_two_tables_are_written_together(small: Layouts) -> None:
    sink = MemorySink()
    batches = [posted(small, f"m{i}", i).batch for i in range(10)]
    written = await sink.write(batches)
    assert [outcome.stored for outcome in written.outcomes] == [1] * 10
    stored = {next(iter(values)).name: next(iter(values.values())) for values in sink.messages.values()}
    assert stored == {f"m{i}": float(i) for i in range(10)}


async def test_the_gate_never_takes_a_number_of_an_old_table_for_a_known_pair(small: Layouts) -> None:
    directory = MemoryDirectory(monotonic=asyncio.get_running_loop().time)
    directory.add("d")
    rules = settings.DeviceSettings(max_metrics=6)
    admission = Admission(
        directory, small, devices=rules, clock=settings.ClockSettings(), retention=settings.RetentionSettings()
    )
    refused = []
    for i in range(20):
        decoded = posted(small, f"m{i}")
        if not admission.passes(ANYONE, decoded.batch, NOW):
            decoded = await admission.admit(ANYONE, decoded, NOW)
        refused.append([refusal.code for refusal in decoded.refusals])
    assert refused == [[]] * 6 + [["series_limit"]] * 14
    again = posted(small, "m0")
    again = again if admission.passes(ANYONE, again.batch, NOW) else await admission.admit(ANYONE, again, NOW)
    assert again.batch.readings == 1
