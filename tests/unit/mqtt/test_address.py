"""The broker's URL and the waiting between attempts."""

import ssl
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.backoff import full_jitter
from gateway.core.errors import SettingsError
from gateway.mqtt.address import Address, parse_address


@pytest.mark.parametrize(
    ("url", "expected", "shown"),
    [
        ("mqtt://broker", Address("broker", 1883), "mqtt://broker:1883"),
        ("mqtt://broker:2883/", Address("broker", 2883), "mqtt://broker:2883"),
        ("mqtt://u:p@broker", Address("broker", 1883, "u", "p"), "mqtt://broker:1883"),
        ("mqtt://u%40x:p%2Fq%3A@broker", Address("broker", 1883, "u@x", "p/q:"), "mqtt://broker:1883"),
        ("mqtt://u@broker", Address("broker", 1883, "u"), "mqtt://broker:1883"),
        ("mqtt://[::1]:1884", Address("::1", 1884), "mqtt://[::1]:1884"),
    ],
)
def test_url(url: str, expected: Address, shown: str) -> None:
    address = parse_address(url)
    assert address == expected
    assert address.shown == shown


def test_tls_checks_certificate_and_name() -> None:
    address = parse_address("mqtts://broker")
    assert address.port == 8883
    assert address.shown == "mqtts://broker:8883"
    assert address.tls is not None
    assert address.tls.check_hostname
    assert address.tls.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    "url",
    [
        "",
        "broker:1883",
        "http://u:hush@broker",
        "mqtt://",
        "mqtt://u:hush@broker:notaport",
        "mqtt://u:hush@broker:99999",
        "mqtt://u:hush@broker/topic",
        "mqtt://u:hush@broker?keepalive=1",
        "mqtt://u:hush@[::1",
    ],
)
def test_a_bad_url_is_refused_without_repeating_the_password(url: str) -> None:
    with pytest.raises(SettingsError, match=r"mqtt\.url") as caught:
        parse_address(url)
    assert "hush" not in caught.value.message


@pytest.mark.parametrize("content", [None, "not a certificate"])
def test_a_ca_file_that_cannot_be_read_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError, match=r"mqtt\.ca_file .*ca\.pem"):
        parse_address("mqtts://broker", ca_file=str(path))


def test_a_password_is_not_in_the_repr() -> None:
    assert "hush" not in repr(parse_address("mqtt://u:hush@broker"))


@given(st.integers(0, 10_000), st.floats(0.001, 10), st.floats(0.001, 100), st.integers())
def test_jitter_fills_the_span_and_never_leaves_it(attempt: int, base: float, cap: float, seed: int) -> None:
    rng = Random(seed)
    span = min(cap, base * 2 ** min(attempt, 40))
    waits = [full_jitter(attempt, base=base, cap=cap, rng=rng) for _ in range(50)]
    assert all(0 <= wait <= span for wait in waits)
    assert max(waits) > span / 4
    assert min(waits) < span * 3 / 4
