from gateway.telemetry.dedupe import CALM_SECS, MAX_NAMES, Fold


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


def test_what_goes_on_is_said_ever_less_often_and_what_comes_again_is_new() -> None:
    clock = HandClock()
    fold = Fold(1.0, clock=clock)
    said = []
    for second in range(200):
        if fold.admit("a", goes_on=True) is not None:
            said.append(second)
        clock.now += 1
    assert said == [0, 1, 3, 7, 15, 31, 63, 123, 183]
    clock.now += CALM_SECS
    assert fold.admit("a", goes_on=True) == 200 - 184
    clock.now += 1
    assert fold.admit("a", goes_on=True) == 0
    clock.now += 1
    assert [fold.admit("a", goes_on=True), fold.admit("b", goes_on=True)] == [None, 0]


def test_names_are_bounded() -> None:
    fold = Fold(1.0, clock=HandClock())
    for n in range(MAX_NAMES * 3):
        assert fold.admit(str(n)) == 0
        assert len(fold._last) <= MAX_NAMES
