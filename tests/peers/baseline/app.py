"""The FastAPI baselines: a narrow hypertable with a unique key, one COMMIT a request, repeats ignored. Run by uvicorn.

In: DSN, and HOW rows are inserted: `executemany`, or one `unnest` a request, which an expert would write.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import asyncpg
from fastapi import FastAPI
from pydantic import BaseModel, Field

EACH = "insert into readings (device_id, metric, time, value) values ($1, $2, $3, $4) on conflict do nothing"
TOGETHER = """insert into readings (device_id, metric, time, value)
select * from unnest($1::text[], $2::text[], $3::timestamptz[], $4::float8[]) on conflict do nothing"""


class Message(BaseModel):
    """What a device says at one time."""

    device: str = Field(min_length=1, max_length=64)
    ts: datetime
    values: dict[str, float]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the pool."""
    async with asyncpg.create_pool(os.environ["DSN"], min_size=2, max_size=10) as app.state.pool:
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/health")
async def health() -> dict[str, str]:
    """Answer."""
    return {"status": "ok"}


@app.post("/telemetry")
async def ingest(messages: list[Message]) -> dict[str, int]:
    """Return after COMMIT."""
    rows = [(one.device, metric, one.ts, value) for one in messages for metric, value in one.values.items()]
    async with app.state.pool.acquire() as connection:
        if os.environ["HOW"] == "unnest":
            await connection.execute(TOGETHER, *map(list, zip(*rows, strict=True)))
        else:
            await connection.executemany(EACH, rows)
    return {"accepted": len(rows)}
