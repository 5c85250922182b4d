"""A spool looked at again and again: when it will be full, and whether anything leaves it."""

from gateway.app.health.spool_trend import WINDOW, Trend


def test_what_grows_evenly_is_full_when_it_should_be() -> None:
    trend = Trend()
    assert trend.full_in_secs(1000) is None
    for second in range(5 * WINDOW):
        trend.note(float(second), rows=second, size=second * 100, oldest_us=1, away=True)
    assert trend.full_in_secs(6000) == 60.0
    assert trend.full_in_secs(-5) == 0.0


def test_what_does_not_grow_or_was_just_begun_has_no_end() -> None:
    trend = Trend()
    for second in range(3):
        trend.note(float(second), rows=second, size=second * 100, oldest_us=1, away=True)
        assert trend.full_in_secs(1000) is None
    for second in range(3, 10):
        trend.note(float(second), rows=1, size=0, oldest_us=1, away=True)
    assert trend.full_in_secs(1000) is None


def test_nothing_has_left_since_it_could() -> None:
    trend = Trend()
    trend.note(0.0, rows=5, size=1, oldest_us=1, away=True)
    trend.note(100.0, rows=9, size=1, oldest_us=1, away=True)
    assert trend.still_secs == 0.0
    trend.note(110.0, rows=9, size=1, oldest_us=1, away=False)
    trend.note(140.0, rows=12, size=1, oldest_us=1, away=False)
    assert trend.still_secs == 40.0
    trend.note(150.0, rows=8, size=1, oldest_us=1, away=False)
    assert trend.still_secs == 0.0
    trend.note(160.0, rows=8, size=1, oldest_us=2, away=False)
    trend.note(170.0, rows=0, size=1, oldest_us=None, away=False)
    assert trend.still_secs == 0.0
