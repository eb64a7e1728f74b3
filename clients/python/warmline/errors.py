"""What the API refuses, and what goes wrong on the way to it: one class for each kind."""

from __future__ import annotations

import builtins
from typing import Any, Dict, Mapping, Optional, Type


class WarmlineApiError(Exception):
    """What every error knows. ``status`` is ``None`` where no answer came."""

    def __init__(
        self,
        message: str,
        *,
        status: Optional[int] = None,
        code: str = "unexpected_answer",
        param: Optional[str] = None,
        details: Optional[Mapping[str, Any]] = None,
        request_id: Optional[str] = None,
        retry_after: Optional[float] = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        #: For programs: ``not_found``, ``conflict``, ``validation_error``, ...
        self.code = code
        #: The field at fault.
        self.param = param
        self.details: Dict[str, Any] = dict(details or {})
        #: One id for all attempts of a call; the log of the API has it too.
        self.request_id = request_id
        #: How many seconds the API asked to wait.
        self.retry_after = retry_after

    def __str__(self) -> str:
        return self.message


class AuthenticationError(WarmlineApiError):
    """401: the API does not know this key."""


class ForbiddenError(WarmlineApiError):
    """403: the key may not do this; it lacks a scope."""


class NotFoundError(WarmlineApiError):
    """404: the account has no such IP or pool."""


class ConflictError(WarmlineApiError):
    """409: the status of the IP forbids it, or a name is taken."""


class ValidationError(WarmlineApiError):
    """400, 413, 415, 422: the request is wrong; ``param`` names the field."""


class QuotaExceededError(WarmlineApiError):
    """422 ``quota_exceeded``: the inventory has no free address. A take over its quota is no error, but an answer."""


class RateLimitError(WarmlineApiError):
    """429: too many requests in a minute with this key."""


class ServerError(WarmlineApiError):
    """5xx: the API, or a proxy before it, could not answer."""


class ConnectionError(WarmlineApiError, builtins.ConnectionError):
    """No answer came, or a part of one: whether the API did what it was asked is unknown."""


class TimeoutError(ConnectionError, builtins.TimeoutError):
    """No answer came in time."""


_OF_STATUS: Dict[int, Type[WarmlineApiError]] = {
    400: ValidationError,
    401: AuthenticationError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    413: ValidationError,
    415: ValidationError,
    422: ValidationError,
    429: RateLimitError,
}


def error_of(
    status: int, body: Any, request_id: Optional[str], retry_after: Optional[float]
) -> WarmlineApiError:
    """The error that an answer is; ``body`` is what it says, as far as it was JSON."""
    said = _dict(_dict(body).get("error"))
    code = said.get("code") or ("server_error" if status >= 500 else "unexpected_answer")
    message = said.get("message") or (
        f"the answer is {status} and not one of Warmline; check that the base URL is that of its API"
    )
    kind = _OF_STATUS.get(status, ServerError if status >= 500 else WarmlineApiError)
    if code == "quota_exceeded":
        kind = QuotaExceededError
    return kind(
        str(message),
        status=status,
        code=str(code),
        param=said.get("param"),
        details=_dict(said.get("details")),
        request_id=request_id,
        retry_after=retry_after,
    )


def _dict(value: Any) -> Dict[str, Any]:
    return value if isinstance(value, dict) else {}
