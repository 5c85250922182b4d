"""What several windows say of one bucket, joined: sums of large values stay apart, and none that was not asked for."""

from typing import Any

from gateway.timescale.history.windows import join_buckets


def row(**said: Any) -> dict[str, Any]:
    return {"series": 0, "start_us": 5, "count": 2, "min": 1.0, "max": 2.0, "first": None, "last": None, **said}


def test_sums_of_large_and_small_values_stay_apart() -> None:
    parts = [row(sum=3.0, large=None), row(sum=None, large=1e289, max=1e308), row(sum=4.0, large=2e289, min=-7.0)]
    [joined] = join_buckets([[part] for part in parts])
    assert (joined["count"], joined["sum"], joined["large"]) == (6, 7.0, 3e289)
    assert (joined["min"], joined["max"]) == (-7.0, 1e308)


def test_what_was_not_summed_is_not_added() -> None:
    [joined] = join_buckets([[row(sum=None, large=None)], [row(sum=None, large=None, last=9.0)]])
    assert (joined["sum"], joined["large"], joined["last"]) == (None, None, 9.0)


def test_ints_are_summed_exactly_and_texts_not_at_all() -> None:
    [ints] = join_buckets([[row(sum=2**62, avg=1.0, min=1, max=2)], [row(sum=2**62, avg=1.0, min=1, max=3)]])
    assert (ints["sum"], ints["avg"], ints["max"]) == (2**63, 2**61, 3)
    text = {"series": 0, "start_us": 5, "count": 1, "first": "a", "last": "b"}
    assert join_buckets([[text], [text | {"last": "c"}]]) == [text | {"count": 2, "last": "c"}]
