"""`/docs`: a page to read and try the OpenAPI document. It is Swagger UI, out of an installed package."""

import asyncio
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kaa.core.errors import NotFound

from .route import Answer, Call, Route

# Paths are relative, so that the page also works below a path of a proxy.
_PAGE = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>kaa: REST</title>
<link rel="icon" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<noscript>This page needs JavaScript; the document itself is openapi.json.</noscript>
<div id="document"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_START = b"""SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#document",
  deepLinking: true,
  displayRequestDuration: true,
  docExpansion: "list",
  filter: true,
  // nothing is sent to anybody else for validation
  validatorUrl: null,
});
"""
_FILES = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "favicon-32x32.png": "image/png",
}
_SCRIPT = _FILES["swagger-ui-bundle.js"]
# "data:" is for the arrows in its style sheet.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_GUARDS = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY"}
# It needs a key, so nobody between keeps it for others.
_KEPT = {**_GUARDS, "Cache-Control": "private, max-age=3600"}


def routes() -> list[Route]:
    """Give the page, and what it is made of."""

    async def get_docs(_: Call) -> Answer:
        return Answer(
            body=_PAGE, headers={**_GUARDS, "Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store"}
        )

    async def get_file(call: Call) -> Answer:
        name = call.path["file"]
        if name == "start.js":
            return Answer(body=_START, headers={**_KEPT, "Content-Type": _SCRIPT})
        if name not in _FILES:
            raise NotFound("the page of documents has no such file")
        body, tag = await asyncio.to_thread(_read, name)
        return Answer(body=body, headers={**_KEPT, "Content-Type": _FILES[name]}, etag=tag)

    page: dict[str, Any] = {"method": "GET", "returns": bytes, "prompts": True}
    return [
        Route(
            path="/docs",
            handler=get_docs,
            summary="A page to read and try this document",
            gives=("text/html",),
            **page,
        ),
        Route(
            path="/docs/{file}",
            handler=get_file,
            summary="What the page is made of",
            gives=("text/css", "text/javascript", "image/png"),
            errors=(NotFound,),
            tagged=True,
            **page,
        ),
    ]


def _read(name: str) -> tuple[bytes, str]:
    """Read a file anew each time: few ask, each once an hour, and a server has no use for it in between."""
    from importlib.metadata import version  # noqa: PLC0415  it brings much along that an idle server does without

    spec = find_spec("swagger_ui")  # finds it without running any of its code
    assert spec is not None
    assert spec.origin is not None
    return (Path(spec.origin).parent / "static" / name).read_bytes(), f"{version('swagger-ui-py')}-{name}"
