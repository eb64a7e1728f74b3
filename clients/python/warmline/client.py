"""``client = Warmline(api_key=...)``: arguments in snake_case, answers as dicts that are the JSON of the API."""

from __future__ import annotations

import ssl
from types import TracebackType
from typing import Any, Dict, Optional, Sequence, Type

from .api import UNSET, Api, given, path
from .errors import WarmlineApiError
from .pages import Page
from .types import (
    Account,
    AccountHold,
    AccountHoldChange,
    CeilingChange,
    DedicatedIp,
    Demand,
    Explanation,
    Forecast,
    InventoryAddress,
    Ledger,
    Now,
    Pool,
    Refund,
    Refunded,
    Take,
    TakeAnswer,
    TakeAnswers,
)


class Warmline:
    """The API of Warmline.

    ``base_url`` is ``WARMLINE_URL`` unless given, else ``http://127.0.0.1:8080``; ``api_key`` is ``WARMLINE_API_KEY``.
    ``timeout`` is in seconds, for one attempt; ``max_retries`` is how often a call that may be repeated is sent again.
    Any thread may use it, and it keeps connections open: close it, or use it in a ``with``.
    """

    def __init__(
        self,
        base_url: Optional[str] = None,
        api_key: Optional[str] = None,
        *,
        timeout: float = 30.0,
        max_retries: int = 3,
        ssl_context: Optional[ssl.SSLContext] = None,
    ) -> None:
        self._api = Api(base_url, api_key, timeout, max_retries, ssl_context)
        self.dedicated_ips = DedicatedIps(self._api)
        self.quota = Quota(self._api)
        self.inventory = Inventory(self._api)
        self.accounts = Accounts(self._api)
        self.keys = Keys(self._api)
        self.test_clock = TestClock(self._api)
        self.webhooks = Webhooks(self._api)

    def forecast(
        self,
        *,
        messages: int,
        pool: Optional[str] = None,
        start: Optional[str] = None,
        zone: Optional[str] = None,
        add_ips: Optional[int] = None,
        plan: Optional[str] = None,
    ) -> Forecast:
        """When a campaign is done: on which days and over which IPs it leaves, and what would change that.

        ``add_ips`` and ``plan`` are what to compare with. Nothing changes by asking.
        """
        body = {
            "messages": messages,
            "pool": pool,
            "start": start,
            "zone": zone,
            "addIps": add_ips,
            "plan": plan,
        }
        return self._api.request("POST", path("forecast"), body=_named(body), asks=True)

    def changes(
        self, *, since: Optional[str] = None, limit: Optional[int] = None, cursor: Optional[str] = None
    ) -> Page[Dict[str, Any]]:
        """The account's stream: who changed what, from what to what, why and when; oldest first.

        To follow it, give the ``id`` of the last change that you have seen as ``since``. ``page["gap"]``: changes before
        the first one of the page were dropped.
        """
        return _pages(self._api, path("changes"), cursor, since=since, limit=limit)

    def hold(
        self,
        *,
        sending: bool = True,
        advance: bool = True,
        because: Optional[str] = None,
        until: Optional[str] = None,
        idempotency_key: Optional[str] = None,
    ) -> AccountHoldChange:
        """Stops the whole account: every IP, also those that come to it later, until ``resume()``.

        The same again changes only what a failure left out.
        """
        body = _hold(sending, advance, because, until)
        return self._api.request("POST", path("hold"), body=body, keyed=True, idempotency_key=idempotency_key)

    def resume(self) -> AccountHoldChange:
        """Lifts that stop. What is held for itself or with its pool stays held."""
        return self._api.request("DELETE", path("hold"))

    def get_hold(self) -> AccountHold:
        """What stops the whole account, if something does."""
        return self._api.request("GET", path("hold"))

    def close(self) -> None:
        self._api.close()

    def __enter__(self) -> Warmline:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()


class DedicatedIps:
    """The IPs of the account and their pools. IPs are named by id or by address, pools by id or name."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def create(self, *, idempotency_key: Optional[str] = None) -> DedicatedIp:
        """Takes an address from the inventory, the one that was free longest. It joins the default pool."""
        return self._post(path("dedicated-ips"), None, idempotency_key)

    def list(
        self,
        *,
        status: Optional[str] = None,
        pool: Optional[str] = None,
        address: Optional[str] = None,
        label: Optional[str] = None,
        limit: Optional[int] = None,
        cursor: Optional[str] = None,
    ) -> Page[DedicatedIp]:
        """The first page as ``page["data"]``; in a loop, all. Released IPs are left out."""
        query = {"status": status, "pool": pool, "address": address, "label": label, "limit": limit}
        return Page(lambda after: self._get(path("dedicated-ips"), {**query, "cursor": after}), cursor)

    def get(self, id: str) -> DedicatedIp:
        return self._get(path("dedicated-ips", id))

    def start_warmup(
        self,
        id: str,
        *,
        plan: Optional[str] = None,
        zone: Optional[str] = None,
        burst: Optional[int] = None,
        day_starts_at: Optional[str] = None,
        start_day: Optional[int] = None,
        idempotency_key: Optional[str] = None,
    ) -> DedicatedIp:
        """On an IP that warms up already nothing changes."""
        options = {
            "plan": plan,
            "zone": zone,
            "burst": burst,
            "dayStartsAt": day_starts_at,
            "startDay": start_day,
        }
        return self._post(path("dedicated-ips", id, "warmup"), _named(options) or None, idempotency_key)

    def update(
        self,
        id: str,
        *,
        hostname: Optional[str] = UNSET,
        bind: Optional[str] = UNSET,
        labels: Dict[str, str] = UNSET,
        ceiling: Optional[CeilingChange] = UNSET,
    ) -> DedicatedIp:
        """Changes what is given. ``ceiling={"perDay": 100}``; ``None`` takes a value away."""
        body = given(hostname=hostname, bind=bind, labels=labels, ceiling=ceiling)
        return self._api.request("PATCH", path("dedicated-ips", id), body=body)

    def release(self, id: str) -> None:
        """Out of its pools and without quota at once; the address rests, and goes back after its cooldown."""
        self._api.request("DELETE", path("dedicated-ips", id), is_done=_is_released)

    def restore(self, id: str, *, idempotency_key: Optional[str] = None) -> DedicatedIp:
        """Out of cooldown again, to the day it had."""
        return self._post(path("dedicated-ips", id, "restore"), None, idempotency_key)

    def hold(
        self,
        id: str,
        *,
        sending: bool = True,
        advance: bool = True,
        because: Optional[str] = None,
        until: Optional[str] = None,
        idempotency_key: Optional[str] = None,
    ) -> DedicatedIp:
        """The stop button: no mail, no progress, or neither."""
        body = _hold(sending, advance, because, until)
        return self._post(path("dedicated-ips", id, "hold"), body, idempotency_key)

    def resume(self, id: str) -> DedicatedIp:
        """Ends the hold of the IP itself; one of its pool goes on."""
        return self._api.request("DELETE", path("dedicated-ips", id, "hold"))

    def quota(self, id: str) -> Dict[str, Any]:
        """A look at its limits; nothing is taken."""
        return self._get(path("dedicated-ips", id, "quota"))

    def ledger(self, id: str) -> Ledger:
        """What was sent, by day and by hour."""
        return self._get(path("dedicated-ips", id, "ledger"))

    def create_pool(
        self,
        *,
        name: str,
        is_default: Optional[bool] = None,
        warming_share: Optional[float] = None,
        ceiling: Optional[CeilingChange] = None,
        idempotency_key: Optional[str] = None,
    ) -> Pool:
        """A new default pool takes that flag from the one before."""
        body = {"name": name, "isDefault": is_default, "warmingShare": warming_share, "ceiling": ceiling}
        return self._post(path("dedicated-ips", "pools"), _named(body), idempotency_key)

    def list_pools(self, *, limit: Optional[int] = None, cursor: Optional[str] = None) -> Page[Pool]:
        return Page(
            lambda after: self._get(path("dedicated-ips", "pools"), {"limit": limit, "cursor": after}), cursor
        )

    def get_pool(self, pool_id: str) -> Pool:
        return self._get(path("dedicated-ips", "pools", pool_id))

    def update_pool(
        self,
        pool_id: str,
        *,
        name: str = UNSET,
        is_default: bool = UNSET,
    ) -> Pool:
        """Changes what is given."""
        body = given(name=name, isDefault=is_default)
        return self._api.request("PATCH", path("dedicated-ips", "pools", pool_id), body=body)

    def delete_pool(self, pool_id: str) -> None:
        self._api.request("DELETE", path("dedicated-ips", "pools", pool_id), is_done=_is_gone)

    def add_ip_to_pool(
        self, pool_id: str, *, ip_id: str, idempotency_key: Optional[str] = None
    ) -> DedicatedIp:
        """An IP is in one pool: adding it to another one moves it."""
        return self._post(path("dedicated-ips", "pools", pool_id, "ips"), {"ipId": ip_id}, idempotency_key)

    def remove_ip_from_pool(self, pool_id: str, ip_id: str) -> None:
        self._api.request("DELETE", path("dedicated-ips", "pools", pool_id, "ips", ip_id), is_done=_is_gone)

    def hold_pool(
        self,
        pool_id: str,
        *,
        sending: bool = True,
        advance: bool = True,
        because: Optional[str] = None,
        until: Optional[str] = None,
        idempotency_key: Optional[str] = None,
    ) -> Pool:
        """Holds every IP of the pool, also those that join it later."""
        body = _hold(sending, advance, because, until)
        return self._post(path("dedicated-ips", "pools", pool_id, "hold"), body, idempotency_key)

    def resume_pool(self, pool_id: str) -> Pool:
        return self._api.request("DELETE", path("dedicated-ips", "pools", pool_id, "hold"))

    def pool_quota(self, pool_id: str) -> Dict[str, Any]:
        return self._get(path("dedicated-ips", "pools", pool_id, "quota"))

    def _get(self, at: str, query: Optional[Dict[str, Any]] = None) -> Any:
        return self._api.request("GET", at, query=query)

    def _post(self, at: str, body: Any, idempotency_key: Optional[str]) -> Any:
        return self._api.request("POST", at, body=body, keyed=True, idempotency_key=idempotency_key)


class Quota:
    """Asked before each message."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def take(
        self,
        *,
        ip: Optional[str] = None,
        pool: Optional[str] = None,
        count: Optional[int] = None,
        partial: Optional[bool] = None,
        among: Optional[Sequence[str]] = None,
        family: Optional[int] = None,
        to: Optional[str] = None,
        provider: Optional[str] = None,
        from_: Optional[str] = None,
        class_: Optional[str] = None,
        tenant: Optional[str] = None,
        attempt: Optional[int] = None,
        key: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> TakeAnswer:
        """Takes sends before they are sent. Over quota is an answer (``allowed`` is false, ``retryAfterMs``), no error.

        A take is sent one time and never again, whatever ``max_retries`` says. When it fails with a ``ConnectionError``,
        a ``TimeoutError`` or a ``ServerError``, nobody knows whether it was granted: it counts as spent. Take anew for
        the message, and send nothing on the strength of the one that failed.
        """
        body = {
            "ip": ip,
            "pool": pool,
            "count": count,
            "partial": partial,
            "among": None if among is None else list(among),
            "family": family,
            "to": to,
            "provider": provider,
            "from": from_,
            "class": class_,
            "tenant": tenant,
            "attempt": attempt,
            "key": key,
        }
        return self._api.request("POST", path("quota", "take"), body=_named(body), timeout=timeout)

    def take_many(self, *, takes: Sequence[Take], timeout: Optional[float] = None) -> TakeAnswers:
        """Many takes in one request, up to 1 000: ``[{"ip": ..., "count": 3}, {"pool": ...}]``, each granted or denied by itself.

        An answer with an ``error`` is that of a take whose IP or pool does not exist; it says nothing about the others. What
        is not valid is an error of the call, and nothing is taken. Sent one time, as ``take`` is.
        """
        return self._api.request("POST", path("quota", "take"), body={"takes": list(takes)}, timeout=timeout)

    def explain(
        self,
        *,
        ip: Optional[str] = None,
        pool: Optional[str] = None,
        count: Optional[int] = None,
        partial: Optional[bool] = None,
        among: Optional[Sequence[str]] = None,
        family: Optional[int] = None,
    ) -> Explanation:
        """Why a take is answered as it is, also one that was just denied: each IP that it considers. Nothing is taken."""
        body = {
            "ip": ip,
            "pool": pool,
            "count": count,
            "partial": partial,
            "among": None if among is None else list(among),
            "family": family,
        }
        return self._api.request("POST", path("quota", "explain"), body=_named(body), asks=True)

    def demand(self, *, ip: Optional[str] = None, pool: Optional[str] = None, hours: Optional[int] = None) -> Demand:
        """What was wanted, granted and held, by the hour: of the account, or of what named one IP or one pool.

        Other processes tell every ten seconds what they were asked.
        """
        return self._api.request("GET", path("quota", "demand"), query={"ip": ip, "pool": pool, "hours": hours})

    def refund(self, *, refunds: Sequence[Refund]) -> Refunded:
        """Gives back what never reached a receiver: ``[{"receipt": ..., "count": 1}]``.

        Sent one time as well; since a receipt is credited at most once, you may call it again with the same receipts
        when it fails.
        """
        return self._api.request("POST", path("quota", "refund"), body={"refunds": list(refunds)})


class Inventory:
    """The operator's addresses (scope ``admin``)."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def add(
        self,
        addresses: Sequence[str],
        *,
        region: Optional[str] = None,
        hostname: Optional[str] = None,
        bind: Optional[str] = None,
        whitelabeled: Optional[bool] = None,
        account: Optional[str] = None,
        status: Optional[str] = None,
        leased: Optional[bool] = None,
        idempotency_key: Optional[str] = None,
    ) -> Dict[str, Any]:
        """Addresses and ranges, all or none. With ``account`` they are put on that account at once."""
        if isinstance(addresses, str):
            raise TypeError("addresses is one text; give a list of them")
        body = {
            "addresses": list(addresses),
            "region": region,
            "hostname": hostname,
            "bind": bind,
            "whitelabeled": whitelabeled,
            "account": account,
            "status": status,
            "leased": leased,
        }
        return self._api.request(
            "POST", path("inventory"), body=_named(body), keyed=True, idempotency_key=idempotency_key
        )

    def list(self, *, limit: Optional[int] = None, cursor: Optional[str] = None) -> Page[InventoryAddress]:
        """In no order; pages are only about as long as ``limit`` says."""
        return _pages(self._api, path("inventory"), cursor, limit=limit)


class Accounts:
    """Who owns IPs, pools and keys (scope ``admin``)."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def create(
        self, *, name: str, parent: Optional[str] = None, idempotency_key: Optional[str] = None
    ) -> Account:
        body = _named({"name": name, "parent": parent})
        return self._api.request(
            "POST", path("accounts"), body=body, keyed=True, idempotency_key=idempotency_key
        )

    def list(self, *, limit: Optional[int] = None, cursor: Optional[str] = None) -> Page[Account]:
        """In the order of their creation."""
        return _pages(self._api, path("accounts"), cursor, limit=limit)

    def get(self, account: str) -> Account:
        """By name or id."""
        return self._api.request("GET", path("accounts", account))


class Keys:
    """API keys (scope ``admin``)."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def create(
        self,
        *,
        account: str,
        scopes: Optional[Sequence[str]] = None,
        prefix: Optional[str] = None,
        name: Optional[str] = None,
        expires: Optional[str] = None,
        pool_ips: Optional[str] = None,
    ) -> Dict[str, Any]:
        """The answer shows the key this once, so it is sent one time.

        When it fails with an unknown outcome, list the keys and revoke the one that nobody saw.
        """
        body = {
            "account": account,
            "scopes": None if scopes is None else list(scopes),
            "prefix": prefix,
            "name": name,
            "expires": expires,
            "poolIps": pool_ips,
        }
        return self._api.request("POST", path("keys"), body=_named(body))

    def list(
        self, *, account: Optional[str] = None, limit: Optional[int] = None, cursor: Optional[str] = None
    ) -> Page[Dict[str, Any]]:
        return _pages(self._api, path("keys"), cursor, limit=limit, account=account)

    def revoke(self, id: str) -> None:
        self._api.request("DELETE", path("keys", id), is_done=_is_gone)


class TestClock:
    """The whole engine on a clock that tests move by hand."""

    __test__ = False

    def __init__(self, api: Api) -> None:
        self._api = api

    def get(self) -> Now:
        return self._api.request("GET", path("test-clock"))

    def advance(
        self,
        *,
        by: Optional[str] = None,
        to: Optional[str] = None,
        work: Optional[bool] = None,
        timeout: Optional[float] = None,
    ) -> Dict[str, Any]:
        """Moves the time of the whole engine, which does all work on the way. Sent one time: twice is twice as far."""
        body = _named({"by": by, "to": to, "work": work})
        return self._api.request("POST", path("test-clock", "advance"), body=body, timeout=timeout)


class Webhooks:
    """Addresses that are told what happens. Each secret is shown by the call that makes it, and by no other."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def create(
        self, *, url: str, events: Optional[Sequence[str]] = None, description: Optional[str] = None
    ) -> Dict[str, Any]:
        """The answer shows the secret this once, so it is sent one time.

        When it fails with an unknown outcome, list the webhooks and delete the one whose secret nobody saw.
        """
        body = {"url": url, "events": None if events is None else list(events), "description": description}
        return self._api.request("POST", path("webhooks"), body=_named(body))

    def list(self) -> Page[Dict[str, Any]]:
        return _pages(self._api, path("webhooks"), None)

    def get(self, id: str) -> Dict[str, Any]:
        return self._api.request("GET", path("webhooks", id))

    def update(
        self,
        id: str,
        *,
        url: str = UNSET,
        events: Sequence[str] = UNSET,
        description: Optional[str] = UNSET,
        enabled: bool = UNSET,
    ) -> Dict[str, Any]:
        """Changes what is given; ``enabled=True`` switches it on again."""
        body = given(url=url, events=events, description=description, enabled=enabled)
        return self._api.request("PATCH", path("webhooks", id), body=body)

    def delete(self, id: str) -> None:
        self._api.request("DELETE", path("webhooks", id), is_done=_is_gone)

    def rotate_secret(self, id: str) -> Dict[str, Any]:
        """A new secret, shown this once; the old one signs beside it for a day. Sent one time, as ``create`` is."""
        return self._api.request("POST", path("webhooks", id, "rotate-secret"))

    def test(self, id: str) -> Dict[str, str]:
        """The worker sends a test event within seconds; look for its ``eventId`` in the deliveries."""
        return self._api.request("POST", path("webhooks", id, "test"))

    def deliveries(self, id: str, *, limit: Optional[int] = None) -> Page[Dict[str, Any]]:
        """The last 100 attempts, newest first."""
        return _pages(self._api, path("webhooks", id, "deliveries"), None, limit=limit)


def _pages(api: Api, at: str, cursor: Optional[str], **query: Any) -> Page[Any]:
    return Page(lambda after: api.request("GET", at, query={**query, "cursor": after}), cursor)


def _named(values: Dict[str, Any]) -> Dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _hold(sending: bool, advance: bool, because: Optional[str], until: Optional[str]) -> Dict[str, Any]:
    return _named({"sending": sending, "advance": advance, "because": because, "until": until})


def _is_gone(error: WarmlineApiError) -> bool:
    """What is deleted already is not there."""
    return error.status == 404


def _is_released(error: WarmlineApiError) -> bool:
    return error.status == 409 and error.details.get("status") in ("cooldown", "released")


