"""What the site itself answers, beside the instances."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from kaa.core.health import Health
from kaa.core.metrics import CONTENT_TYPE, Metrics

from . import docs
from .route import Answer, Call, Mounted, Route


def routes(*, health: Health, metrics: Metrics, mounted: Callable[[], Sequence[Mounted]]) -> list[Route]:
    """`/health`, `/metrics`, `/openapi.json`, `/docs`."""
    document: bytes | None = None

    async def get_health(_: Call) -> Answer:
        report = health.report()
        return Answer(body=report.as_json(), status=200 if report.is_ok else 503, headers={"Cache-Control": "no-store"})

    async def get_metrics(_: Call) -> Answer:
        return Answer(body=metrics.render(), headers={"Content-Type": CONTENT_TYPE})

    async def get_openapi(_: Call) -> Answer:
        nonlocal document
        if document is None:
            # Imported and made when first asked for: most processes never are, and the work is too long for the loop.
            from kaa.core.openapi import render  # noqa: PLC0415

            document = await asyncio.to_thread(render, mounted())
        return Answer(body=document, headers={"Content-Type": "application/json"})

    return [
        Route(
            method="GET",
            path="/health",
            handler=get_health,
            summary="Whether the server works, and what does not",
            means={200: "All works", 503: "Something does not; the answer names it"},
            description=(
                "Each check by its name, with `ok` or a sentence. The load balancer's and the supervisor's question."
            ),
            shows={"status": "ok", "checks": {"bus": "ok", "storage": "ok", "storage reserve": "ok"}},
            returns=dict[str, Any],
            also={503: dict[str, Any]},
            open=True,
        ),
        Route(
            method="GET",
            path="/metrics",
            handler=get_metrics,
            summary="Metrics in the Prometheus format",
            returns=bytes,
            gives=("text/plain",),
        ),
        Route(
            method="GET",
            path="/openapi.json",
            handler=get_openapi,
            summary="This document",
            returns=dict[str, Any],
            shows_own=True,
        ),
        *docs.routes(),
    ]
