"""The one HTTP site: every instance answers under its own name."""

from .route import Answer, Call, Camel, Mounted, Page, PageQuery, Route, Stream
from .site import HttpSettings, Site

__all__ = [
    "Answer",
    "Call",
    "Camel",
    "HttpSettings",
    "Mounted",
    "Page",
    "PageQuery",
    "Route",
    "Site",
    "Stream",
]
