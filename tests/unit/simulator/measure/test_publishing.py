"""What a gateway says it has stored."""

import pytest

from simulator.core.errors import Unreachable
from simulator.measure.bench.publishing import parse_stored


def test_the_stored_readings_of_all_samples_are_summed() -> None:
    text = b"# TYPE gateway_readings_stored_total counter\n"
    assert (
        parse_stored(text + b'gateway_readings_stored_total{a="b"} 2.0\ngateway_readings_stored_total 1.5e+06\n')
        == 1_500_002
    )
    with pytest.raises(Unreachable, match="do not say"):
        parse_stored(text)
