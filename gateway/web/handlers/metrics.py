"""Metrics: their kinds and units, which are set here too. Never shows readings."""

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from gateway.domain.names import check_metric_name
from gateway.timescale.registry.metrics import MetricFacts
from gateway.web.context import Context
from gateway.web.http.audited import acting
from gateway.web.http.call import Call, NoQuery
from gateway.web.http.fields import Cursor, NextCursor, PageLimit, Strict
from gateway.web.http.path import decoded
from gateway.web.http.query import Page, made_up, to_page
from gateway.web.http.responses import NO_STORE, Answer


class MetricQuery(Strict, frozen=True):
    """Which metrics are listed."""

    prefix: Annotated[str | None, Meta(description="How the names begin.")] = None
    limit: PageLimit = 100
    cursor: Cursor = None


class MetricChange(Strict, frozen=True):
    """The body of PUT /v1/metrics/{metric}; what is left out stays as it is."""

    unit: str | UnsetType | None = UNSET
    declared_int: bool | UnsetType = UNSET


class MetricKinds(Strict, frozen=True):
    """A metric in all its kinds."""

    metrics: list[MetricFacts]


class MetricPage(MetricKinds, frozen=True, kw_only=True):
    """A page of metrics."""

    next_cursor: NextCursor


async def list_metrics(call: Call[MetricQuery, None], parts: Context) -> Answer:
    """Answer with a page of metrics, by name and kind."""
    query, prefix = call.query, call.query.prefix or ""
    page = to_page(query.limit, query.cursor, about=("metrics", prefix))
    metrics = await parts.registrar.metrics.page(prefix=prefix, after=_last(page), limit=page.limit + 1)
    shown, last = page.cut(metrics)
    cursor = page.cursor(last and (last.metric, last.kind))
    return Answer(MetricPage(metrics=list(shown), next_cursor=cursor), headers=NO_STORE)


async def put_metric(call: Call[NoQuery, MetricChange], parts: Context) -> Answer:
    """Set the unit of a metric in all its kinds, and whether its integers are stored exactly."""
    name, change = decoded(call.path["metric"]), call.content
    check_metric_name(name)
    kinds = await parts.registrar.metrics.put(
        name,
        unit=change.unit if isinstance(change.unit, str) else None,
        clear_unit=change.unit is None,
        declared_int=None if change.declared_int is UNSET else change.declared_int,
        actor=await acting(call, parts),
    )
    return Answer(MetricKinds(metrics=kinds))


def _last(page: Page) -> tuple[str, str]:
    if page.after is None:
        return "", ""
    match page.after:
        case [str(name), str(kind)] if kind.isalpha():
            check_metric_name(name)
            return name, kind
    raise made_up()
