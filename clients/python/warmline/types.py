"""The JSON of the API. Instants are ISO 8601 in UTC; a limit of -1 is unlimited."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, TypedDict, Union


class Hold(TypedDict):
    sending: bool
    advance: bool
    because: str
    by: str
    scope: str
    since: str
    until: Optional[str]


class Ceiling(TypedDict):
    perDay: Optional[int]
    perHour: Optional[int]


class CeilingChange(TypedDict, total=False):
    """``None`` lifts a limit; one that is not named stays."""

    perDay: Optional[int]
    perHour: Optional[int]


class WarmupProgress(TypedDict):
    progress: float
    currentDay: Optional[int]
    currentDailyLimit: int
    currentHourlyLimit: int
    usedToday: int
    remainingToday: int
    startedAt: Optional[str]
    completesAt: Optional[str]
    completedAt: Optional[str]
    totalDays: Optional[int]
    plan: Optional[str]
    zone: Optional[str]
    burst: Optional[int]
    dayStartsAt: Optional[str]
    startDay: Optional[int]


class WarmingDay(TypedDict):
    day: int
    dailyLimit: int
    hourlyCap: int
    cumulativeProgress: float


class WarmingSchedule(TypedDict):
    totalDays: int
    days: List[WarmingDay]


class Cooldown(TypedDict):
    since: str
    until: str


class _DedicatedIp(TypedDict):
    id: str
    ipAddress: str
    status: str
    poolId: Optional[str]
    poolIds: List[str]
    hold: Optional[Hold]
    holds: List[Hold]
    warmup: WarmupProgress
    ceiling: Ceiling
    region: Optional[str]
    hostname: Optional[str]
    bind: Optional[str]
    leased: bool
    labels: Dict[str, str]
    cooldown: Optional[Cooldown]
    sendingVolume: int
    lastUsedAt: Optional[str]
    createdAt: str
    updatedAt: str


class DedicatedIp(_DedicatedIp, total=False):
    """``warmingSchedule`` is there once the warm-up has started, and never in lists."""

    warmingSchedule: WarmingSchedule


class AccountHold(TypedDict):
    """What stops the whole account; ``None`` is nothing."""

    hold: Optional[Hold]


class AccountHoldChange(AccountHold):
    """And how many IPs were changed by it."""

    changed: int


class Pool(TypedDict):
    id: str
    name: str
    isDefault: bool
    ipCount: int
    warmingShare: float
    ceiling: Ceiling
    hold: Optional[Hold]
    createdAt: str
    updatedAt: str



class Ledger(TypedDict):
    """``days`` and ``hours`` hold ``{"from", "sends"}``, oldest first."""

    ipId: str
    ip: str
    days: List[Dict[str, Any]]
    hours: List[Dict[str, Any]]


class Grant(TypedDict):
    ip: str
    ipId: str
    count: int
    receipt: str
    hostname: Optional[str]
    bind: Optional[str]


class Because(TypedDict):
    code: str
    scope: None
    ipId: Optional[str]
    until: Optional[str]


class TakeAnswer(TypedDict):
    allowed: bool
    granted: List[Grant]
    limit: int
    remaining: int
    retryAfterMs: Optional[int]
    resetAfterMs: int
    because: Optional[Because]


class TakeRefusal(TypedDict):
    """``error`` holds ``{"code", "message", "param", "details"}``: there is no such IP or pool."""

    error: Dict[str, Any]


class TakeAnswers(TypedDict):
    """In the order of the takes."""

    answers: List[Union[TakeAnswer, TakeRefusal]]


class DemandSums(TypedDict):
    """Sends that were asked for, and of these granted and held; who asks again for what was held wants it again."""

    wanted: int
    granted: int
    held: int
    heldBy: Dict[str, int]


class Demand(DemandSums):
    """Of the account, an IP or a pool; ``hours`` begin with the oldest, and the last one runs."""

    ipId: Optional[str]
    poolId: Optional[str]
    hours: List[Dict[str, Any]]


class Explanation(TypedDict):
    """``answer`` is what the take would be answered; ``ips`` are those that it considers, in the order of choice."""

    at: str
    sentence: str
    answer: TakeAnswer
    pool: Optional[Dict[str, Any]]
    ipCount: int
    ips: List[Dict[str, Any]]


class Forecast(TypedDict):
    """``finishesAt`` is ``None`` when the campaign is not done before ``until``; ``variants`` are what else could be done."""

    at: str
    sentence: str
    assumes: str
    messages: int
    start: str
    zone: str
    pool: Optional[Dict[str, str]]
    finishesAt: Optional[str]
    sent: int
    until: str
    days: List[Dict[str, Any]]
    ips: List[Dict[str, Any]]
    ipCount: int
    variants: List[Dict[str, Any]]


# ``from`` and ``class`` are no names in a class of Python.
Take = TypedDict(
    "Take",
    {
        "ip": str,
        "pool": str,
        "count": int,
        "partial": bool,
        "among": Sequence[str],
        "family": int,
        "to": str,
        "provider": str,
        "from": str,
        "class": str,
        "tenant": str,
        "attempt": int,
        "key": str,
    },
    total=False,
)


class _Refund(TypedDict):
    receipt: str


class Refund(_Refund, total=False):
    count: int


class Refunded(TypedDict):
    refunded: int


class Account(TypedDict):
    id: str
    number: int
    name: str
    parentId: Optional[str]
    createdAt: str


class InventoryAddress(TypedDict):
    address: str
    region: Optional[str]
    hostname: Optional[str]
    bind: Optional[str]
    leased: bool
    whitelabeled: bool
    state: str
    account: Optional[str]
    ipId: Optional[str]


class Now(TypedDict):
    now: str
