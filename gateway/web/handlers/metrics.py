"""Questions about metrics in, their kinds and units out; these are set here too. Never shows readings."""

import msgspec
import orjson
from msgspec import UNSET, UnsetType
from sanic import HTTPResponse, Request

from gateway.timescale.registry.metrics import MAX_PAGE, check_metric_name
from gateway.web.context import context_of
from gateway.web.http.admins import acting, admitted
from gateway.web.http.json_body import read_json
from gateway.web.http.path import decoded
from gateway.web.http.permissions import identify, require_reader_of_all
from gateway.web.http.query import Page, Question, made_up
from gateway.web.http.responses import reply

LIMIT = 100
"""Metrics of a page, unless the caller says otherwise."""


class Facts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of PUT /v1/metrics/{metric}; what is left out stays as it is."""

    unit: str | UnsetType | None = UNSET
    declared_int: bool | UnsetType = UNSET


_facts = msgspec.json.Decoder(Facts)


async def list_metrics(request: Request) -> HTTPResponse:
    """Answer with a page of metrics, by name and kind."""
    context = context_of(request)
    require_reader_of_all(await identify(request, context))
    question = Question(request)
    prefix = question.one("prefix") or ""
    page = question.page(default=LIMIT, most=MAX_PAGE, about=("metrics", prefix))
    question.finish()
    metrics = await context.registrar.metrics.page(prefix=prefix, after=_last(page), limit=page.limit + 1)
    shown, last = page.cut(metrics)
    body = {"metrics": [metric._asdict() for metric in shown], "next_cursor": page.cursor(last and last[:2])}
    return reply(request, context, orjson.dumps(body), headers={"cache-control": "no-store"})


async def put_metric(request: Request, metric: str) -> HTTPResponse:
    """Set the unit of a metric in all its kinds, and whether its integers are stored exactly."""
    context = context_of(request)
    await admitted(request, context)
    Question(request).finish()
    name = decoded(metric)
    check_metric_name(name)
    facts = await read_json(request, context, _facts)
    kinds = await context.registrar.metrics.put(
        name,
        unit=facts.unit if isinstance(facts.unit, str) else None,
        clear_unit=facts.unit is None,
        declared_int=None if facts.declared_int is UNSET else facts.declared_int,
        actor=await acting(request, context),
    )
    return reply(request, context, orjson.dumps({"metrics": [kind._asdict() for kind in kinds]}))


def _last(page: Page) -> tuple[str, str]:
    if page.after is None:
        return "", ""
    match page.after:
        case [str(name), str(kind)] if kind.isalpha():
            check_metric_name(name)
            return name, kind
    raise made_up()
