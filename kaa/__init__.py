"""Kaa: an IoT platform in one process."""

import sys

if "structlog" not in sys.modules and "rich" not in sys.modules:
    # structlog takes rich in for tracebacks that are written plainly here: 5 MB that an idle server has no use for
    sys.modules["rich"] = None  # type: ignore[assignment]  # so says the language that there is no such module
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]
