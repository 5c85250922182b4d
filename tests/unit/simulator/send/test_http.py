import pytest

from simulator.core.errors import UsageError
from simulator.send.drivers.http import HttpClient


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://host", "http://", "http://host:port", ""])
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(UsageError, match="http://host:port"):
        HttpClient(url)
