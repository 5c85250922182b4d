"""What a line of the log holds of a stranger's words."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry.sanitize import MAX_SHOWN, shown


def test_a_name_is_shown_as_it_is() -> None:
    assert shown("Kühlraum 7/Tür") == "Kühlraum 7/Tür"


def test_what_moves_a_cursor_is_shown_as_its_number() -> None:
    assert shown("a\x1b[2Jb\u202e\n") == "a\\u001b[2Jb\\u202e\\u000a"


@given(st.text(max_size=2 * MAX_SHOWN))
def test_any_text_is_short_and_visible(text: str) -> None:
    said = shown(text)
    assert said.isprintable()
    assert len(said) <= 10 * MAX_SHOWN + 1
    assert said.endswith("…") or len(text) <= MAX_SHOWN
    said.encode()
