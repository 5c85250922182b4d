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
