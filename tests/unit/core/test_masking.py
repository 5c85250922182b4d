"""Passwords of URLs, masked: by both programs alike, which share no code."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import masking
from simulator.core import addresses

BOTH = pytest.mark.parametrize("masked", [masking.masked, addresses.masked])


@BOTH
@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:p@h:1/d?x=y", "postgresql://u:***@h:1/d?x=y"),
        ("redis://:p@h", "redis://:***@h"),
        ("postgresql:///d?user=u&password=p&x=y", "postgresql:///d?user=u&password=***&x=y"),
        ("u:p@h", "u:***@h"),
        ("postgresql://u@x:p@h/d", "postgresql://u@x:***@h/d"),
        ("postgresql:///d?user=u&pass%77ord=p&x=y", "postgresql:///d?user=u&pass%77ord=***&x=y"),
        ("postgresql:///d?SSLPassword=p", "postgresql:///d?SSLPassword=***"),
        ("mqtt://h:1883", "mqtt://h:1883"),
        ("postgresql://u@a:1,b:2/d", "postgresql://u@a:1,b:2/d"),
        ("", ""),
    ],
)
def test_only_the_password_is_masked(masked: Callable[[str], str], url: str, shown: str) -> None:
    assert masked(url) == shown


@given(st.text(max_size=20))
def test_whatever_the_password_holds(password: str) -> None:
    for masked in (masking.masked, addresses.masked):
        assert masked(f"mqtt://u:{password}@h") == "mqtt://u:***@h"


@given(st.text(st.characters(exclude_categories=["Z", "C"]), max_size=20), st.sampled_from(["mqtt://", "mqtt//", ""]))
def test_within_a_sentence_it_is_gone_as_well(password: str, scheme: str) -> None:
    planted = f"Unknown option: --x={scheme}u:S{password}S@h."
    for masked in (masking.masked_within, addresses.masked_within):
        assert "S@" not in masked(planted)
        assert masked(planted).endswith("***@h.")


@pytest.mark.parametrize(
    "words", ["password=p4", "password = 'p 4'", r"password=p\ 4", r"password='p\'4'", "PASSWORD='p4"]
)
def test_libpq_s_other_form(words: str) -> None:
    shown = masking.masked(f"host=h {words} user=u" if not words.startswith("PASS") else f"host=h {words}")
    assert "4" not in shown
    assert "host=h" in shown


@BOTH
def test_within_a_sentence_a_parameter_is_masked_too(masked: Callable[[str], str]) -> None:
    within = masking.masked_within if masked is masking.masked else addresses.masked_within
    assert within("cannot open postgresql:///d?user=u&password=p4 now") == (
        "cannot open postgresql:///d?user=u&password=*** now"
    )
