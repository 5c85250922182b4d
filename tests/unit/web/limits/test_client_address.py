"""Who a request comes from: a table of what proxies and liars send."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import SettingsError
from gateway.web.limits.client_address import Addresses

PROXIES = "10.0.0.0/8, 2001:db8:ffff::/48"


@pytest.mark.parametrize(
    ("peer", "said", "address"),
    [
        # nobody between us
        ("192.0.2.7", [], "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", [], "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", [], "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", [], "192.0.2.7"),
        ("fe80::1%eth0", [], "fe80::/64"),
        ("", [], ""),
        # somebody who is no proxy of ours says something
        ("192.0.2.7", ["198.51.100.1"], "192.0.2.7"),
        # one proxy, several, and one that is reached over IPv6
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1", "10.0.0.2"], "198.51.100.1"),
        ("2001:db8:ffff::1", ["2001:db8:1:2::9"], "2001:db8:1:2::/64"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        # what the caller made up stands left of what the proxy appended
        ("10.0.0.1", ["203.0.113.9, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.9, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["x" * 5000 + ", 198.51.100.1"], "198.51.100.1"),
        # with ports
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db8:1:2::9]:4711"], "2001:db8:1:2::/64"),
        # a proxy that does not tell answers for it itself
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, unknown"], "10.0.0.1"),
        # only proxies in the chain: the farthest
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
    ],
)
def test_x_forwarded_for(peer: str, said: list[str], address: str) -> None:
    assert Addresses(PROXIES).of(peer, said) == address


@pytest.mark.parametrize(
    ("said", "address"),
    [
        ("for=198.51.100.1", "198.51.100.1"),
        ("For=198.51.100.1;proto=https;by=10.0.0.1", "198.51.100.1"),
        ('proto=https; for="198.51.100.1:4711"', "198.51.100.1"),
        ('for="[2001:db8:1:2::9]:4711"', "2001:db8:1:2::/64"),
        ("for=203.0.113.9, for=198.51.100.1", "198.51.100.1"),
        ("for=_hidden", "10.0.0.1"),
        ("proto=https", "10.0.0.1"),
        ("198.51.100.1", "10.0.0.1"),
    ],
)
def test_forwarded(said: str, address: str) -> None:
    assert Addresses(PROXIES, header="forwarded").of("10.0.0.1", [said]) == address


@given(st.text(max_size=200), st.sampled_from(["x-forwarded-for", "forwarded"]))
def test_any_header_leads_to_an_address(said: str, header: str) -> None:
    addresses = Addresses(PROXIES, header=header)
    assert addresses.of("10.0.0.1", [said])
    assert addresses.of("10.0.0.1", [said, "for=192.0.2.7" if header == "forwarded" else "192.0.2.7"]) == "192.0.2.7"
    assert addresses.of("192.0.2.8", [said]) == "192.0.2.8"


@pytest.mark.parametrize("proxies", ["nonsense", "10.0.0.1/8", "10.0.0.0/99", "10.0.0.1; 10.0.0.2"])
def test_proxies_that_cannot_be_read_stop_the_start(proxies: str) -> None:
    with pytest.raises(SettingsError, match=r"http\.proxies"):
        Addresses(proxies)
