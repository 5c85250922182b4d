from gateway.telemetry.fold import MAX_NAMES, Fold


class HandClock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_one_line_a_name_and_second_and_the_next_one_says_how_many_were_left_out() -> None:
    clock = HandClock()
    fold = Fold(1.0, clock=clock)
    assert [fold.admit("a") for _ in range(4)] == [0, None, None, None]
    assert fold.admit("b") == 0
    clock.now += 0.99
    assert fold.admit("a") is None
    clock.now += 0.02
    assert fold.admit("a") == 4
    assert fold.admit("a") is None
    clock.now += 5
    assert fold.admit("a") == 1
    clock.now += 5
    assert fold.admit("a") == 0


def test_names_are_bounded() -> None:
    fold = Fold(1.0, clock=HandClock())
    for n in range(MAX_NAMES * 3):
        assert fold.admit(str(n)) == 0
        assert len(fold._last) <= MAX_NAMES
