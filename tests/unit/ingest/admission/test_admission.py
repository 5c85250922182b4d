"""The gate: who may write which device, names and clocks at their limits, and what it remembers."""

import pytest

from gateway.core import settings
from gateway.core.errors import SinkUnavailable
from gateway.domain.principal import Principal, Role
from gateway.ingest.admission import admission
from tests.fakes.directory import MemoryDirectory
from tests.unit.ingest.admission.door import DAY, NOW, SEC, Door, said


@pytest.fixture
def door() -> Door:
    door = Door()
    door.directory.add("d1", "d2")
    return door


async def test_a_known_pair_passes_without_sifting(door: Door) -> None:
    first = await door.post([said(t=1), said("d2", t=1, h=2)])
    again = await door.post([said("d2", t=3, h=4, ts=NOW + 1), said(t=5), said(t=6, ts=NOW - 1)])
    assert first.admitted
    assert not again.admitted
    assert [m.values["t"][1] for m in again.messages] == [3, 5, 6]
    assert door.directory.looked_up == [["d1", "d2"]]


@pytest.mark.parametrize(
    "new",
    [said(h=1), said("d2", t=1), said(t=1, ts=NOW + 301 * SEC), said(t=1, ts=NOW - 3651 * DAY)],
    ids=["layout", "device", "ahead", "old"],
)
async def test_one_message_out_of_the_ordinary_has_the_batch_sifted(door: Door, new: dict[str, object]) -> None:
    await door.post(said(t=1))
    assert not (await door.post([said(t=2), said(t=3)])).admitted
    assert (await door.post([said(t=4), new])).admitted


async def test_a_known_pair_opens_the_door_to_nobody_else(door: Door) -> None:
    await door.post(said(t=1))
    answer = await door.post(said(t=1), principal=Principal(Role.DEVICE, "d2"))
    assert answer.codes == ["device_forbidden"]
    assert answer.messages == []


async def test_what_is_refused_is_not_remembered(door: Door) -> None:
    for _ in range(2):
        answer = await door.post([said("d9", t=1), said(t=1, ts=NOW + 301 * SEC), said("d2", t=1)])
        assert answer.admitted
        assert answer.codes == ["unknown_device", "too_far_ahead"]
    assert not (await door.post(said("d2", t=1))).admitted
    assert (await door.post(said("d1", t=1))).admitted


async def test_an_empty_batch_passes_with_its_refusals(door: Door) -> None:
    answer = await door.post([said(t=None), 5])
    assert not answer.admitted
    assert answer.codes == ["bad_value", "bad_item"]
    assert door.directory.looked_up == []


async def test_the_refusals_of_the_decoder_stay_in_front(door: Door) -> None:
    answer = await door.post([said("d9", t=1), said(t=None)])
    assert answer.codes == ["bad_value", "unknown_device"]
    assert [refusal.index for refusal in answer.refusals] == [1, 0]


async def test_a_device_disabled_meanwhile_is_refused_once_forgotten(door: Door) -> None:
    await door.post(said(t=1))
    door.directory.set_enabled("d1", enabled=False)
    door.directory.forget(["d1"])
    door.admission.forget()
    assert (await door.post(said(t=1))).codes == ["device_disabled"]
    door.directory.set_enabled("d1", enabled=True)
    door.directory.forget(["d1"])
    door.admission.forget()
    assert (await door.post(said(t=1))).codes == []
    assert not (await door.post(said(t=1))).admitted


async def test_a_metric_declared_int_meanwhile_is_a_new_kind(door: Door) -> None:
    posted = [said(count=7), said(count=7, on=True)]
    before = await door.post(posted[0]), await door.post(posted[1])
    door.layouts.declare_ints(["count"])
    door.admission.forget()
    after = await door.post(posted[0]), await door.post(posted[1])
    assert [answer.messages[0].values["count"] for answer in (*before, *after)] == [
        ("double", 7.0),
        ("double", 7.0),
        ("int", 7),
        ("int", 7),
    ]


async def test_memory_is_bounded_and_learns_anew(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MAX_PAIRS", 3)
    for name in "abcd":
        await door.post({"device": "d1", "metric": name, "value": 1})
    assert not (await door.post(said(d=1))).admitted
    await door.post(said(e=1))
    assert (await door.post(said(a=1))).admitted
    assert not (await door.post(said(e=1))).admitted


# --- the registry ---


async def test_an_unknown_device_is_looked_up_once_and_refused(door: Door) -> None:
    for _ in range(2):
        answer = await door.post([said("d9", t=1), said("d9", t=2), said("d1", t=3)])
        assert [m.device for m in answer.messages] == ["d1"]
        assert answer.codes == ["unknown_device"] * 2
    assert door.directory.looked_up == [["d1", "d9"]]


async def test_an_unknown_device_is_let_in_where_the_setting_says_so() -> None:
    door = Door(devices=settings.DeviceSettings(unknown="auto"))
    assert (await door.post(said("d9", t=1))).codes == []
    assert not (await door.post(said("d9", t=1))).admitted


async def test_a_device_registered_meanwhile_is_known_when_strangers_are_looked_up_again() -> None:
    now = [0.0]
    door = Door(directory=MemoryDirectory(monotonic=lambda: now[0]))
    assert (await door.post(said(t=1))).codes == ["unknown_device"]
    door.directory.add("d1")
    now[0] = 0.999
    assert (await door.post(said(t=1))).codes == ["unknown_device"]
    now[0] = 1.0
    assert (await door.post(said(t=1))).codes == []


async def test_a_disabled_device_is_refused_and_the_others_are_not(door: Door) -> None:
    door.directory.set_enabled("d1", enabled=False)
    answer = await door.post([said("d1", t=1, h=2), said("d2", t=1)])
    assert [(r.code, r.path, r.readings) for r in answer.refusals] == [("device_disabled", "/0", 2)]
    assert [m.device for m in answer.messages] == ["d2"]


async def test_a_disabled_device_is_refused_even_where_unknown_ones_are_let_in() -> None:
    door = Door(devices=settings.DeviceSettings(unknown="auto"))
    door.directory.add("d1")
    door.directory.set_enabled("d1", enabled=False)
    assert (await door.post(said(t=1))).codes == ["device_disabled"]


async def test_devices_pushed_out_of_a_full_cache_by_their_own_batch_are_not_unknown() -> None:
    door = Door(directory=MemoryDirectory(max_cards=3))
    names = [f"d{i}" for i in range(5)]
    door.directory.add(*names)
    await door.post([said(name, t=1) for name in names[:3]])
    answer = await door.post([said(name, h=1) for name in names])
    assert answer.codes == []
    assert [m.device for m in answer.messages] == names


async def test_a_registry_that_cannot_be_read_fails_the_whole_call_and_only_this_one(door: Door) -> None:
    await door.post(said(t=1))
    door.directory.failure = SinkUnavailable("away")
    assert (await door.post(said(t=1))).codes == []
    with pytest.raises(SinkUnavailable, match="away"):
        await door.post([said(t=1), said("d2", t=1)])
    door.directory.failure = None
    assert (await door.post([said(t=1), said("d2", t=1)])).codes == []


# --- who may write ---

WRITERS = [
    (Principal(Role.ADMIN), "d1", True),
    (Principal(Role.INGEST), "d1", True),
    (Principal(Role.INGEST, prefix="d"), "d1", True),
    (Principal(Role.INGEST, prefix="d1"), "d1", True),
    (Principal(Role.INGEST, prefix="d1x"), "d1", False),
    (Principal(Role.INGEST, prefix="D"), "d1", False),
    (Principal(Role.DEVICE, "d1"), "d1", True),
    (Principal(Role.DEVICE, "d1"), "d2", False),
    (Principal(Role.DEVICE, "d"), "d1", False),
    (Principal(Role.READER), "d1", False),
]


@pytest.mark.parametrize(("principal", "device", "allowed"), WRITERS, ids=str)
async def test_a_credential_writes_what_it_may(door: Door, principal: Principal, device: str, *, allowed: bool) -> None:
    for admitted in (True, not allowed):
        answer = await door.post(said(device, t=1), principal=principal)
        assert answer.codes == ([] if allowed else ["device_forbidden"])
        assert answer.admitted is admitted


async def test_a_credential_is_not_told_whether_the_devices_of_others_exist(door: Door) -> None:
    own = Principal(Role.DEVICE, "d1")
    answer = await door.post([said("d2", t=1), said("d9", t=1), said("d1", t=1)], principal=own)
    assert answer.codes == ["device_forbidden"] * 2
    assert door.directory.looked_up == [["d1"]]


# --- names ---

NAMES = [
    ("a", True),
    ("A-Z.a:z_0", True),
    ("n" * 128, True),
    ("n" * 129, False),
    ("", False),
    ("d1\n", False),
    ("d 1", False),
    ("a/b", False),
    ("größe", False),
    ("d\u0661", False),
    ("d\0", False),
    ("d\ud800", False),
]


@pytest.mark.parametrize(("name", "allowed"), NAMES, ids=repr)
async def test_device_names(name: str, *, allowed: bool) -> None:
    door = Door(devices=settings.DeviceSettings(unknown="auto"))
    answer = await door.post(said(name, t=1, h=2))
    assert answer.codes == ([] if allowed else ["bad_device_name"])
    assert answer.received == 2
    assert door.directory.looked_up == ([[name]] if allowed else [])


async def test_a_device_token_for_a_bad_name_does_not_make_it_good(door: Door) -> None:
    answer = await door.post(said("d1\n", t=1), principal=Principal(Role.DEVICE, "d1\n"))
    assert answer.codes == ["bad_device_name"]


# --- clocks ---


@pytest.mark.parametrize(("ahead_us", "codes"), [(0, []), (300 * SEC, []), (300 * SEC + 1, ["too_far_ahead"])])
@pytest.mark.parametrize("known", [False, True])
async def test_a_timestamp_ahead(door: Door, ahead_us: int, codes: list[str], *, known: bool) -> None:
    if known:
        await door.post(said(t=0))
    answer = await door.post([said(t=1, ts=NOW + ahead_us), said(t=2)])
    assert answer.codes == codes
    assert [m.time_us for m in answer.messages] == [NOW + ahead_us, NOW][len(codes) :]
    assert all("is 301 s ahead" in refusal.message for refusal in answer.refusals)


@pytest.mark.parametrize(("age_us", "codes"), [(10 * DAY - 1, []), (10 * DAY, []), (10 * DAY + 1, ["too_old"])])
@pytest.mark.parametrize("known", [False, True])
async def test_a_timestamp_of_long_ago(age_us: int, codes: list[str], *, known: bool) -> None:
    door = Door(retention=settings.RetentionSettings(days=10))
    door.directory.add("d1")
    if known:
        await door.post(said(t=0))
    answer = await door.post([said(t=1, ts=NOW - age_us), said(t=2)])
    assert answer.codes == codes
    assert [m.time_us for m in answer.messages] == [NOW - age_us, NOW][len(codes) :]


@pytest.mark.parametrize("known", [False, True])
async def test_timestamps_ahead_are_clamped_where_the_setting_says_so(*, known: bool) -> None:
    door = Door(clock=settings.ClockSettings(max_ahead_secs=60, ahead="clamp"))
    door.directory.add("d1")
    if known:
        await door.post(said(t=0))
    far = NOW + 3600 * SEC
    answer = await door.post([said(t=1, ts=NOW + 60 * SEC), said(t=2, ts=far), said(t=3, ts=far)])
    assert answer.codes == []
    assert [m.time_us for m in answer.messages] == [NOW + 60 * SEC, NOW + 1, NOW + 2]
    assert len(set(answer.batch.times)) == 3


@pytest.mark.parametrize("name", [".", ".."])
async def test_no_new_device_is_called_like_a_folder_and_a_known_one_goes_on(name: str) -> None:
    door = Door(devices=settings.DeviceSettings(unknown="auto"))
    answer = await door.post([said(name, t=1), said("...", t=1)])
    assert answer.codes == ["bad_device_name"]
    assert "stand for folders" in answer.refusals[0].message
    door = Door(devices=settings.DeviceSettings(unknown="auto"))
    door.directory.add(name)
    assert (await door.post(said(name, t=1))).codes == []
