"""The topic setting: what is subscribed to, which device a topic names, what is refused."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import SettingsError
from gateway.mqtt.topics import PLACEHOLDER, parse_topic

LEVEL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/+#\0{}$"), max_size=8)
LEVELS = st.lists(LEVEL, max_size=3)


@pytest.mark.parametrize(
    ("template", "share", "subscription"),
    [
        ("devices/{device}/readings", "gateway", "$share/gateway/devices/+/readings"),
        ("devices/{device}/readings", "", "devices/+/readings"),
        ("{device}", "g", "$share/g/+"),
        ("/{device}", "", "/+"),
        ("site/7/{device}/", "", "site/7/+/"),
    ],
)
def test_subscription(template: str, share: str, subscription: str) -> None:
    assert parse_topic(template, share=share).subscription == subscription


@pytest.mark.parametrize(
    ("topic", "device"),
    [
        ("devices/d1/readings", "d1"),
        ("devices/a.b_c:d-e/readings", "a.b_c:d-e"),
        ("devices/Ω/readings", "Ω"),  # whether that is a name, admission says
        ("devices//readings", None),
        ("devices/readings", None),
        ("devices/a/b/readings", None),
        ("devices/d1/readings/", None),
        ("devices/d1/Readings", None),
        ("/devices/d1/readings", None),
        ("devices/", None),
        ("", None),
    ],
)
def test_device(topic: str, device: str | None) -> None:
    assert parse_topic("devices/{device}/readings", share="").device_of(topic) == device


@pytest.mark.parametrize("template", ["aa/{device}/aa", "{device}/a", "a/{device}"])
def test_prefix_and_suffix_never_overlap(template: str) -> None:
    topics = parse_topic(template, share="")
    for topic in ("aa/aa", "aa/", "/aa", "a", "a/", "/a", "/"):
        assert topics.device_of(topic) is None


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("devices/readings", "exactly one level"),
        ("{device}/{device}", "exactly one level"),
        ("devices/x-{device}/readings", "exactly one level"),
        ("devices/{device}/{metric}", "exactly one level"),
        ("devices/{device}/{", "exactly one level"),
        ("", "exactly one level"),
        ("+/{device}", "may not hold"),
        ("{device}/#", "may not hold"),
        ("a\0/{device}", "may not hold"),
        ("$SYS/{device}", "begin with '$'"),
        ("x" * 65_535 + "/{device}", "longer than 65535 bytes"),
        ("\ud800/{device}", "not valid Unicode"),
    ],
)
def test_a_bad_template_is_refused_with_an_example(template: str, words: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(words)) as caught:
        parse_topic(template, share="gateway")
    assert "devices/{device}/readings" in caught.value.message
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    ("receipts", "words"),
    [
        ("receipts", "exactly one level"),
        ("+/{device}", "may not hold"),
        ("$SYS/{device}", "begin with '$'"),
        ("devices/{device}/readings", "must not be mqtt.topic"),
    ],
)
def test_a_bad_topic_of_receipts_is_refused_with_an_example(receipts: str, words: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(words)) as caught:
        parse_topic("devices/{device}/readings", share="", receipts=receipts)
    assert "mqtt.receipts = 'devices/{device}/receipts'" in caught.value.message


def test_where_a_device_is_answered() -> None:
    topics = parse_topic("plant/{device}/up", share="", receipts="plant/{device}/down")
    assert topics.receipts_of("d1") == "plant/d1/down"
    assert parse_topic("{device}/up", share="", receipts="{device}/down").receipts_of("$SYS") is None
    crossed = parse_topic("a/{device}/b", share="", receipts="a/b/{device}")
    assert crossed.receipts_of("d1") == "a/b/d1"
    assert crossed.receipts_of("b") is None, "the gateway itself would take it for readings"


@pytest.mark.parametrize("share", ["a/b", "+", "#", "a\0"])
def test_a_bad_group_is_refused(share: str) -> None:
    with pytest.raises(SettingsError, match=r"mqtt\.share"):
        parse_topic("devices/{device}", share=share)


@given(LEVELS, LEVEL.filter(bool), LEVELS)
def test_what_the_broker_matches_is_what_names_the_device(before: list[str], name: str, after: list[str]) -> None:
    topics = parse_topic("/".join([*before, PLACEHOLDER, *after]), share="")
    topic = "/".join([*before, name, *after])
    assert _matches(topics.subscription, topic)
    assert topics.device_of(topic) == name


@given(LEVELS, LEVELS, st.lists(LEVEL, min_size=1, max_size=7))
def test_a_device_is_named_only_if_the_filter_matches(before: list[str], after: list[str], levels: list[str]) -> None:
    topics = parse_topic("/".join([*before, PLACEHOLDER, *after]), share="")
    topic = "/".join(levels)
    named = topics.device_of(topic)
    matched = _matches(topics.subscription, topic) and levels[len(before)] != ""
    assert (named is not None) == matched
    assert named is None or named == levels[len(before)]


def _matches(subscription: str, topic: str) -> bool:
    """MQTT 5, 4.7.1, for filters with '+' only."""
    wanted, levels = subscription.split("/"), topic.split("/")
    return len(wanted) == len(levels) and all(w in ("+", have) for w, have in zip(wanted, levels, strict=True))
