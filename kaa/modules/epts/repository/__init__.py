"""What EPTS keeps: channels in the database, their points in files by period."""

from .channels import ChannelRepository
from .points import SCHEMA, PointRepository
from .reading import PointReader

__all__ = ["SCHEMA", "ChannelRepository", "PointReader", "PointRepository"]
