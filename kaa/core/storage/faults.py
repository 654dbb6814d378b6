"""What a database's errors mean to the one who waits for it."""

from kaa.core.errors import Refusal, StorageFull, Unavailable

_FULL = 13  # SQLITE_FULL
_STATES = {5: "busy", 6: "locked", 8: "read-only", 10: "failing", 11: "damaged", 14: "not to be opened", 26: "damaged"}


def storage_refusal(error: BaseException) -> Refusal | None:
    """Give the refusal that a database error stands for; None if it is one of the statement's, a bug of ours."""
    if isinstance(error, Refusal):
        return error
    seen: BaseException | None = error
    while seen is not None:
        code = getattr(seen, "sqlite_errorcode", None)
        if code is not None:
            primary = code & 0xFF
            if primary == _FULL:
                return StorageFull("the disk is full; nothing was stored")
            if primary in _STATES:
                return Unavailable(f"the storage is {_STATES[primary]}; nothing was stored")
            return None
        if isinstance(seen, OSError):
            return Unavailable("the storage is failing; nothing was stored")
        seen = getattr(seen, "orig", None) or seen.__cause__
    return None
