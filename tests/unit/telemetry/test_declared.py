"""Every labelled metric says what its labels may be, and every series is there before anything is counted."""

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry, Counter

import gateway.app.worker  # noqa: F401 - it knows every part, and so every metric
from gateway.telemetry import declared
from gateway.telemetry.declared import OPEN, Bound
from gateway.web.operations import OPERATIONS


def labelled() -> list[prometheus_client.metrics.MetricWrapperBase]:
    """Every labelled metric of ours that the library knows, whoever made it."""
    known = {id(one): one for one in prometheus_client.REGISTRY._names_to_collectors.values()}.values()
    ours = [one for one in known if isinstance(one, prometheus_client.metrics.MetricWrapperBase)]
    return [one for one in ours if one._labelnames and one._name.startswith("gateway_")]


def test_every_labelled_metric_declares_the_values_of_its_labels() -> None:
    by_metric = {id(bound.metric): bound for bound in declared.bounds()}
    assert len(labelled()) > 20
    for metric in labelled():
        bound = by_metric.get(id(metric))
        assert bound is not None, f"{metric._name}: keep it in a Bound, with all values of its labels or OPEN"
        assert bound.declared or bound.values_open, f"{metric._name}: say which values its labels may have, or OPEN"
        assert all(len(labels) == len(metric._labelnames) for labels in bound.declared), metric._name


def test_every_route_is_counted_under_a_declared_label() -> None:
    (bound,) = [one for one in declared.bounds() if one.sample == "gateway_http_requests_total"]
    assert {label for label, _ in bound.declared} == {*[one.label for one in OPERATIONS], "none"}


def test_what_is_counted_under_other_labels_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declared, "UNDECLARED", set())
    monkeypatch.setattr(declared, "_all", [])
    registry = CollectorRegistry()
    bound = Bound(Counter("some", "Some.", ["kind"], registry=registry), [("a",)])
    open_one = Bound(Counter("other", "Other.", ["kind"], registry=registry), OPEN)
    bound[("a",)].inc()
    open_one[("x",)].inc()
    assert not declared.UNDECLARED
    bound[("b",)].inc()
    assert {("some_total", ("b",))} == declared.UNDECLARED
