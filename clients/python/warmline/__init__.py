"""The API of Warmline from Python: ``client = Warmline(base_url=..., api_key=...)``."""

from .client import Warmline
from .errors import (
    AuthenticationError,
    ConflictError,
    ConnectionError,
    ForbiddenError,
    NotFoundError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    TimeoutError,
    ValidationError,
    WarmlineApiError,
)
from .pages import Page

__version__ = "0.1.0"

__all__ = [
    "AuthenticationError",
    "ConflictError",
    "ConnectionError",
    "ForbiddenError",
    "NotFoundError",
    "Page",
    "QuotaExceededError",
    "RateLimitError",
    "ServerError",
    "TimeoutError",
    "ValidationError",
    "Warmline",
    "WarmlineApiError",
]
