"""The broker's URL."""

import ssl
from pathlib import Path

import pytest

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
