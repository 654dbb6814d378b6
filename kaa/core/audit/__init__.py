"""The audit log: every change made over REST, with who made it, and what was there before and after it.

An entry is committed before the answer goes out. Where that fails the change stands all the same, and is answered as
what it is: a success. The entry is kept in memory and written with the next one that can be; until then `/health` says
that the log has a gap.
"""

from .api import routes
from .log import AuditLog
from .store import AuditStore

__all__ = ["AuditLog", "AuditStore", "routes"]
