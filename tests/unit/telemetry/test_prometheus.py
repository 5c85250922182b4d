"""Counting, alone and merged over processes."""

import re

import pytest
from prometheus_client import REGISTRY

from gateway.domain.model import Refusal
from gateway.telemetry import MULTIPROC_ENV, events, exposition, prometheus


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_a_commit_is_counted_in_rows() -> None:
    names = (
        "gateway_commits_total",
        "gateway_messages_committed_total",
        "gateway_commit_seconds_count",
        "gateway_commit_rows_sum",
    )
    before = [value(name) for name in names]
    events.committed(10, secs=0.01)
    assert [value(n) - b for n, b in zip(names, before, strict=True)] == [1, 10, 1, 10]


def test_refusals_count_their_readings_by_code() -> None:
    before = (
        value("gateway_refusals_total", code="too_old"),
        value("gateway_refusals_total", code="bad_value"),
    )
    events.refused(
        [
            Refusal(0, "/0", "too_old", "m", readings=5),
            Refusal(1, "/1", "too_old", "m", readings=2),
            Refusal(2, "/2/values/t", "bad_value", "m"),
        ]
    )
    assert value("gateway_refusals_total", code="too_old") - before[0] == 7
    assert value("gateway_refusals_total", code="bad_value") - before[1] == 1


@pytest.mark.parametrize(("status", "kind"), [(200, "2xx"), (207, "2xx"), (304, "3xx"), (422, "4xx"), (503, "5xx")])
def test_replies_count_by_status_class(status: int, kind: str) -> None:
    before = value("gateway_http_requests_total", route="page", status=kind)
    events.http_answered("page", status)
    assert value("gateway_http_requests_total", route="page", status=kind) == before + 1


def test_every_name_is_ours_and_says_its_unit() -> None:
    families = [family for family in REGISTRY.collect() if family.name.startswith("gateway_")]
    assert len(families) > 20
    unit = re.compile(r"_(seconds|bytes|rows|readings|messages)")
    for family in families:
        assert family.documentation.endswith(".")
        if family.type == "histogram":
            assert unit.search(family.name), family.name


def test_alone_the_process_shows_its_own_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MULTIPROC_ENV, raising=False)
    prometheus.readings_received[("mqtt",)].inc(3)
    assert b'gateway_readings_received_total{source="mqtt"}' in exposition.exposition()


def test_a_renamed_metric_is_shown_under_its_old_name_too() -> None:
    prometheus.readings_from_spool[("stored",)].inc(3)
    shown = exposition.exposition().decode().splitlines()
    for new, old in exposition.RENAMED.items():
        assert {line.replace(new, old, 1) for line in shown if re.match(rf"{new}(_total)?[ {{]", line)} == {
            line for line in shown if re.match(rf"{old}(_total)?[ {{]", line)
        }
        assert any(line.startswith(old) for line in shown)
