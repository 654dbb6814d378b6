"""OTAO, over-the-air orchestration: which software an endpoint is to have, and when."""
