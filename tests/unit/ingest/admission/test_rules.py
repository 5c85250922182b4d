"""The sieve: metrics, kinds, shapes and layouts, one below, at and one above the limit. The rest is always stored."""

from itertools import islice, permutations
from typing import Any

import pytest

from gateway.core import settings
from gateway.domain import layouts
from gateway.domain.layouts import MAX_ORDERS
from gateway.domain.model import Kind, Metric, Shape
from tests.unit.ingest.admission.door import ADMIN, NOW, Answer, Door, said


def open_door(**devices: Any) -> Door:
    door = Door(devices=settings.DeviceSettings(**devices))
    door.directory.add("d1", "d2")
    return door


def named(*names: str) -> dict[str, Any]:
    return dict.fromkeys(names, 1)


def stored(answer: Answer) -> list[set[str]]:
    return [set(message.values) for message in answer.messages]


# --- metrics a device ---


@pytest.mark.parametrize(("new", "kept"), [(1, 1), (2, 2), (3, 2)])
async def test_metrics_up_to_the_limit_are_stored(new: int, kept: int) -> None:
    door = open_door(max_metrics=3)
    await door.post(said(**named("known")))
    answer = await door.post(said(**named("known", *(f"m{i}" for i in range(new)))))
    assert stored(answer) == [{"known", *(f"m{i}" for i in range(kept))}]
    assert [(r.code, r.path, r.metric, r.readings) for r in answer.refusals] == [
        ("series_limit", f"/values/m{i}", f"m{i}", 1) for i in range(kept, new)
    ]


async def test_past_the_limit_known_metrics_are_unharmed() -> None:
    door = open_door(max_metrics=2)
    await door.post(said(**named("a", "b")))
    answer = await door.post([said(b=1, c=1, a=1), said(a=2), said(c=3), said(b=4, a=5)])
    assert stored(answer) == [{"a", "b"}, {"a"}, {"a", "b"}]
    assert [(r.code, r.index, r.path) for r in answer.refusals] == [
        ("series_limit", 0, "/0/values/c"),
        ("series_limit", 2, "/2/values/c"),
    ]
    assert answer.received == 7
    assert not (await door.post([said(a=1), said(b=1, a=1)])).admitted


async def test_the_limit_counts_each_device_alone() -> None:
    door = open_door(max_metrics=1)
    answer = await door.post([said("d1", a=1), said("d2", b=1), said("d1", b=1)])
    assert [(m.device, set(m.values)) for m in answer.messages] == [("d1", {"a"}), ("d2", {"b"})]
    assert answer.codes == ["series_limit"]


async def test_what_a_device_has_stored_before_counts() -> None:
    door = open_door(max_metrics=2)
    door.directory.report("d1", Shape((Metric("a", Kind.DOUBLE),), (), (Metric("s", Kind.TEXT),)))
    answer = await door.post([said(a=1, s="x"), said(b=1), said(s=2), said(a=3)])
    assert stored(answer) == [{"a", "s"}, {"a"}]
    assert [(r.code, r.path) for r in answer.refusals] == [
        ("series_limit", "/1/values/b"),
        ("series_limit", "/2/values/s"),  # a number: another series under the same name
    ]


async def test_a_message_of_which_nothing_is_left_is_not_stored() -> None:
    door = open_door(max_metrics=1)
    await door.post(said(a=1))
    answer = await door.post(said(b=1, c=2))
    assert answer.messages == []
    assert answer.codes == ["series_limit"] * 2
    assert answer.received == 2


# --- kinds ---


async def test_a_metric_that_changes_its_kind_is_kept_in_both() -> None:
    door = open_door(kind_change="keep")
    answer = await door.post([said(t=21.5), said(t="ERR"), said(t=True), said(t=22)])
    assert [m.values["t"] for m in answer.messages] == [
        ("double", 21.5),
        ("text", "ERR"),
        ("bool", True),
        ("double", 22.0),
    ]
    assert answer.codes == []


async def test_a_metric_that_changes_its_kind_is_refused_where_the_setting_says_so() -> None:
    door = open_door(kind_change="refuse")
    answer = await door.post([said(t=21.5), said(t="ERR", h=1), said(t=True), said(t=22), said("d2", t="ERR")])
    assert [(m.device, m.values) for m in answer.messages] == [
        ("d1", {"t": ("double", 21.5)}),
        ("d1", {"h": ("double", 1.0)}),
        ("d1", {"t": ("double", 22.0)}),
        ("d2", {"t": ("text", "ERR")}),
    ]
    assert [(r.code, r.path, r.metric) for r in answer.refusals] == [
        ("type_conflict", "/1/values/t", "t"),
        ("type_conflict", "/2/values/t", "t"),
    ]
    assert answer.received == 6


async def test_kinds_that_were_stored_under_the_other_setting_stay_allowed() -> None:
    door = open_door(kind_change="refuse")
    both = (Metric("t", Kind.DOUBLE), Metric("t", Kind.TEXT))
    door.directory.report("d1", Shape(both[:1], (), both[1:]))
    answer = await door.post([said(t=1), said(t="x"), said(t=False)])
    assert [m.values["t"][0] for m in answer.messages] == ["double", "text"]
    assert answer.codes == ["type_conflict"]


# --- shapes ---


async def test_a_shape_past_the_limit_is_stored_as_one_message_for_each_metric() -> None:
    door = open_door(max_shapes=2)
    answer = await door.post([said(a=1), said(a=1, b=2), said(c=5, b=4, a=3), said(a=6, b=7)])
    assert [message.values for message in answer.messages] == [
        {"a": ("double", 1.0)},
        {"a": ("double", 1.0), "b": ("double", 2.0)},
        {"a": ("double", 3.0)},
        {"b": ("double", 4.0)},
        {"c": ("double", 5.0)},
        {"a": ("double", 6.0), "b": ("double", 7.0)},
    ]
    assert answer.codes == []
    assert answer.received == 8
    assert [answer.batch.origins.locate(i, "b")[1] for i in range(2, 5)] == ["/2/values/b"] * 3
    again = await door.post(said(c=5, b=4, a=3))
    assert stored(again) == [{"a"}, {"b"}, {"c"}]


async def test_values_of_every_kind_survive_being_stored_apart() -> None:
    door = open_door(max_shapes=1)
    door.layouts.declare_ints(["count"])
    await door.post(said(a=1))
    answer = await door.post(said(on=True, s="x", t=2.5, count=2**60))
    assert [message.values for message in answer.messages] == [
        {"count": ("int", 2**60)},
        {"on": ("bool", True)},
        {"s": ("text", "x")},
        {"t": ("double", 2.5)},
    ]


async def test_what_is_left_of_a_message_is_stored_whole_if_its_shape_is_known() -> None:
    door = open_door(max_shapes=1, max_metrics=2)
    await door.post(said(a=1, b=2))
    answer = await door.post(said(b=2, new=3, a=1))
    assert stored(answer) == [{"a", "b"}]
    assert answer.codes == ["series_limit"]


async def test_an_order_of_keys_is_not_a_shape() -> None:
    door = open_door(max_shapes=1)
    answer = await door.post([said(a=1, b=2), said(b=3, a=4)])
    assert [message.values for message in answer.messages] == [
        {"a": ("double", 1.0), "b": ("double", 2.0)},
        {"b": ("double", 3.0), "a": ("double", 4.0)},
    ]


# --- layouts ---


async def test_more_orders_of_keys_than_are_kept_apart_are_still_right() -> None:
    door = open_door()
    names = ["a", "b", "c", "d"]
    orders = list(islice(permutations(reversed(names)), MAX_ORDERS + 4))
    assert tuple(names) not in orders
    for _ in range(2):
        for number, order in enumerate(orders):
            posted: dict[str, Any] = {name: number * 10 + names.index(name) for name in order}
            answer = await door.post(said(ts=NOW + number, **posted))
            assert answer.codes == []
            assert answer.messages[0].values == {name: ("double", float(v)) for name, v in posted.items()}
    assert len(door.layouts.table) == MAX_ORDERS + 1


async def test_a_body_with_more_new_sets_than_fit_is_refused_in_part_and_the_next_one_comes_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(layouts, "MAX_LAYOUTS", 2)
    door = open_door()
    answer = await door.post([said(a=1), said(b=3), said(a=1, b=2), said("d2", a=4)])
    assert stored(answer) == [{"a"}, {"b"}, {"a"}]
    assert [(r.code, r.path, r.readings) for r in answer.refusals] == [("series_limit", "/2", 2)]
    assert answer.received == 5
    again = await door.post([said(a=5, b=6)])
    assert stored(again) == [{"a", "b"}]


# --- places ---

PLACES = [
    ({"device": "d1", "metric": "x", "value": 1}, ["/1/value"]),
    ({"device": "d1", "values": {"x": 1, "a/b~": 2}}, ["/1/values/x"]),
    ({"device": "d1", "readings": [{"values": {"known": 1}}, {"values": {"x": 1}}]}, ["/1/readings/1/values/x"]),
    (
        {"device": "d1", "ts": [NOW, NOW + 1], "values": {"known": [1, 2], "x": [3, 4]}},
        ["/1/values/x/0", "/1/values/x/1"],
    ),
]


@pytest.mark.parametrize(("item", "paths"), PLACES, ids=["flat", "values", "readings", "columns"])
async def test_a_refusal_names_the_exact_place(item: dict[str, Any], paths: list[str]) -> None:
    door = open_door(max_metrics=1)
    await door.post(said(known=1))
    answer = await door.post([said(known=2), item], principal=ADMIN)
    assert [r.path for r in answer.refusals if r.metric == "x"] == paths
    assert {r.index for r in answer.refusals} == {1}
