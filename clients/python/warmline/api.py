"""One call of the API: sent, read, and sent again where that is safe.

Safe is what only looks, what says how things shall be (PATCH, DELETE), and a POST under an Idempotency-Key, since the API
does each key once. All else is sent one time.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import random
import re
import selectors
import socket
import ssl
import threading
import time
import uuid
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple, cast
from urllib.parse import quote, urlencode, urlsplit

from .errors import (
    ConnectionError,
    ServerError,
    TimeoutError,
    ValidationError,
    WarmlineApiError,
    error_of,
)

DEFAULT_URL = "http://127.0.0.1:8080"

_FIRST_BACKOFF = 0.2
_LONGEST_BACKOFF = 10.0
# Who is asked to wait longer than this gets the error, and decides.
_LONGEST_RETRY_AFTER = 60.0
# What the API takes at most.
_LARGEST_BODY = 1024 * 1024
# A fleet of thousands that moved through weeks on a test clock fits; what never ends does not.
_LARGEST_ANSWER = 64 * 1024 * 1024
_CHUNK = 64 * 1024
# Far below what servers keep an idle connection open for, since a take on one that just closed would be lost.
_IDLE_SECONDS = 4.0


class _Unset:
    """What was not given, where ``None`` means something."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Any = _Unset()


def given(**values: Any) -> Dict[str, Any]:
    """Only what was given."""
    return {name: value for name, value in values.items() if value is not UNSET}


def path(*parts: str) -> str:
    """``path("dedicated-ips", id)``, encoded. A part that is empty or made of dots would name another resource."""
    for part in parts:
        if not isinstance(part, str) or part in ("", ".", ".."):
            raise ValueError(f"{part!r} names nothing; give an id, an address or a name")
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


class _Idle(NamedTuple):
    connection: http.client.HTTPConnection
    since: float


class Api:
    """Keeps connections open between calls; any thread may use it."""

    def __init__(
        self,
        base_url: Optional[str],
        api_key: Optional[str],
        timeout: float,
        max_retries: int,
        ssl_context: Optional[ssl.SSLContext],
    ) -> None:
        url = urlsplit(_url(base_url or os.environ.get("WARMLINE_URL", "").strip() or DEFAULT_URL))
        self._secure = url.scheme == "https"
        self._host = url.hostname or ""
        self._port = url.port
        self._prefix = url.path.rstrip("/")
        self._origin = f"{url.scheme}://{url.netloc}"
        self._key = _key(api_key or os.environ.get("WARMLINE_API_KEY", "").strip())
        self._timeout = _seconds(timeout)
        self._max_retries = _retries(max_retries)
        self._ssl_context = ssl_context
        self._idle: List[_Idle] = []
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._closed = False

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection, _ in idle:
            connection.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Optional[Mapping[str, Any]] = None,
        body: Any = None,
        keyed: bool = False,
        asks: bool = False,
        idempotency_key: Optional[str] = None,
        timeout: Optional[float] = None,
        is_done: Optional[Callable[[WarmlineApiError], bool]] = None,
    ) -> Any:
        """``asks``: it changes nothing. ``is_done``: is this refusal of a repeated call what its first attempt left behind?"""
        seconds = self._timeout if timeout is None else _seconds(timeout)
        target = self._prefix + path + _query(query or {})
        payload = _payload(body)
        headers = self._headers(payload, _idempotency_key(idempotency_key) if keyed else None)
        may_repeat = method != "POST" or keyed or asks
        may_be_done = False
        retries = 0
        while True:
            try:
                return self._attempt(method, target, headers, payload, seconds)
            except WarmlineApiError as error:
                if may_be_done and is_done is not None and is_done(error):
                    return None
                may_be_done = may_be_done or _is_unknown(error)
                if retries >= self._max_retries or not may_repeat or not _is_passing(error, keyed):
                    raise
                wait = error.retry_after
                if wait is not None and wait > _LONGEST_RETRY_AFTER:
                    raise
            time.sleep(_backoff(retries) if wait is None else wait + _backoff(0))
            retries += 1

    def _headers(self, payload: Optional[bytes], idempotency_key: Optional[str]) -> Dict[str, str]:
        headers = {
            "Accept": "application/json",
            "Authorization": f"Bearer {self._key}",
            "User-Agent": "warmline-client-python",
            "X-Request-Id": str(uuid.uuid4()),
        }
        if payload is not None:
            headers["Content-Type"] = "application/json"
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        return headers

    def _attempt(
        self, method: str, target: str, headers: Dict[str, str], payload: Optional[bytes], seconds: float
    ) -> Any:
        deadline = time.monotonic() + seconds
        request_id = headers["X-Request-Id"]
        where = f"{method} {self._origin}"
        connection = self._connection(seconds)
        reusable = False
        try:
            connection.response_class = cast(Any, partial(_Response, deadline=deadline))
            connection.request(method, target, body=payload, headers=headers)
            response = connection.getresponse()
            content = _read(response)
            reusable = not response.will_close
        except socket.timeout as error:
            message = f"{where}: no answer within {seconds:g} s"
            raise TimeoutError(message, code="timeout", request_id=request_id) from error
        except _AnswerTooLarge as error:
            message = f"the answer is larger than {_LARGEST_ANSWER} bytes"
            raise ConnectionError(message, code="answer_too_large", request_id=request_id) from error
        except (OSError, http.client.HTTPException) as error:
            message = f"{where}: no answer ({str(error) or type(error).__name__})"
            raise ConnectionError(message, code="connection_error", request_id=request_id) from error
        finally:
            if reusable:
                self._keep(connection)
            else:
                connection.close()
        return _answer(response, content, request_id)

    def _connection(self, seconds: float) -> http.client.HTTPConnection:
        now = time.monotonic()
        while True:
            with self._lock:
                if self._closed:
                    raise RuntimeError("this client was closed")
                if self._process != os.getpid():
                    # After a fork the connections are the parent's: two that talk on one would hear each other's answers.
                    self._process, self._idle = os.getpid(), []
                kept = self._idle.pop() if self._idle else None
            if kept is None:
                break
            if now - kept.since < _IDLE_SECONDS and not _was_dropped(kept.connection):
                kept.connection.sock.settimeout(seconds)
                return kept.connection
            kept.connection.close()
        if self._secure:
            context = self._ssl_context or ssl.create_default_context()
            return http.client.HTTPSConnection(self._host, self._port, timeout=seconds, context=context)
        return http.client.HTTPConnection(self._host, self._port, timeout=seconds)

    def _keep(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if not self._closed and connection.sock is not None:
                self._idle.append(_Idle(connection, time.monotonic()))
                return
        connection.close()


class _AnswerTooLarge(Exception):
    pass


def _was_dropped(connection: http.client.HTTPConnection) -> bool:
    """An idle connection has nothing to say; what can be read is its end."""
    if connection.sock is None:
        return True
    with selectors.DefaultSelector() as selector:
        selector.register(connection.sock, selectors.EVENT_READ)
        return bool(selector.select(0))


class _BeforeDeadline(io.RawIOBase):
    """What comes over a socket until then. The time-out of a socket is that of each word, and words may go on for ever."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._socket = sock
        self._deadline = deadline
        self._file = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> Optional[int]:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout("timed out")
        self._socket.settimeout(left)
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, deadline: float, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp.close()
        self.fp = io.BufferedReader(_BeforeDeadline(sock, deadline))


def _read(response: http.client.HTTPResponse) -> bytes:
    chunks: List[bytes] = []
    size = 0
    while True:
        chunk = response.read1(_CHUNK)
        if not chunk:
            break
        size += len(chunk)
        if size > _LARGEST_ANSWER:
            raise _AnswerTooLarge()
        chunks.append(chunk)
    # What was announced and did not come is told by `read`, and not by `read1`.
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)
    # Now the connection may be used again.
    response.close()
    return b"".join(chunks)


def _answer(response: http.client.HTTPResponse, content: bytes, sent_id: str) -> Any:
    kind = response.headers.get_content_type()
    body: Any = UNSET
    if kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json")):
        try:
            body = json.loads(content)
        except ValueError:
            body = UNSET
    if 200 <= response.status < 300:
        if not content:
            return None
        if body is not UNSET:
            return body
    request_id = response.headers.get("X-Request-Id") or sent_id
    raise error_of(response.status, body, request_id, _retry_after(response.headers.get("Retry-After")))


def _is_unknown(error: WarmlineApiError) -> bool:
    """After these nobody knows whether the request was carried out."""
    return isinstance(error, (ConnectionError, ServerError))


def _is_passing(error: WarmlineApiError, keyed: bool) -> bool:
    """May the next attempt succeed? A 409 that says when: our first attempt is still under way."""
    if _is_unknown(error):
        return error.code != "answer_too_large"
    return error.status in (408, 429) or (keyed and error.status == 409 and error.retry_after is not None)


def _backoff(retries: int) -> float:
    """Doubled each time, and spread over its upper half, so that clients that failed together come back apart."""
    return min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2**retries) * random.uniform(0.5, 1.0)


def _retry_after(said: Optional[str]) -> Optional[float]:
    """Seconds, or an instant by the clock of the server."""
    if said is None:
        return None
    if re.fullmatch(r"\d{1,9}", said.strip()):
        return float(said)
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    except (TypeError, ValueError, IndexError):
        return None


def _query(query: Mapping[str, Any]) -> str:
    pairs: List[Tuple[str, str]] = [(name, str(value)) for name, value in query.items() if value is not None]
    return f"?{urlencode(pairs)}" if pairs else ""


def _payload(body: Any) -> Optional[bytes]:
    if body is None:
        return None
    payload = json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
    if len(payload) > _LARGEST_BODY:
        raise ValidationError("the body is larger than 1 MiB; send less at once", code="validation_error")
    return payload


def _url(url: str) -> str:
    """What is wrong is told without the value: a URL may carry a password."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or re.search(r"[\x00-\x20\x7f]", url):
        raise ValueError("base_url is no URL of an API (example: http://127.0.0.1:8080)")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("base_url must not carry a user, a query or a fragment; give the key as api_key")
    return url


def _key(key: str) -> str:
    if not key:
        raise ValueError("an API key is needed; give api_key, or set WARMLINE_API_KEY")
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        raise ValueError("api_key holds blanks or letters that do not fit into a header")
    return key


def _idempotency_key(key: Optional[str]) -> str:
    if key is None:
        return str(uuid.uuid4())
    if not re.fullmatch(r"[\x20-\x7e]{1,255}", key):
        raise ValueError("an idempotency_key has 1 to 255 printable ASCII characters")
    return key


def _seconds(timeout: float) -> float:
    if not timeout > 0:
        raise ValueError(f"timeout is {timeout}; it must be a number of seconds above 0")
    return min(float(timeout), float(threading.TIMEOUT_MAX))


def _retries(max_retries: int) -> int:
    if isinstance(max_retries, bool) or not isinstance(max_retries, int) or max_retries < 0:
        raise ValueError(f"max_retries is {max_retries}; it must be a whole number from 0")
    return max_retries
