/** What a take is answered, and how it is read from the packed replies of the scripts (layout in `lua/answer.lua`). */
import { readCharged } from './hot-record.ts';

export type BecauseCode =
  | 'status'
  | 'hold'
  | 'unpublished'
  | 'day'
  | 'hour'
  | 'burst'
  | 'ceiling'
  | 'count'
  | 'unreachable';

export type Grant = {
  ip: string;
  ipId: string;
  count: number;
  /** Names this grant for a refund; empty in a peek. */
  receipt: string;
  /** What EHLO should say, if the operator has said. */
  hostname: string | null;
  /** The local address to bind when it is not the IP itself. */
  bind: string | null;
};

export type TakeAnswer = {
  allowed: boolean;
  granted: Grant[];
  /** Of the limit that binds, in sends; -1 is unlimited. */
  limit: number;
  remaining: number;
  /** The earliest instant at which this same take would succeed if nobody else took; 0 now, `null` never. */
  retryAfterMs: number | null;
  resetAfterMs: number;
  because: null | { code: BecauseCode; scope: null; ipId: string | null; until: string | null };
};

/** An IP as the hot record names it. */
export class NamedIp {
  readonly ip: string;
  readonly ipId: string;
  readonly hostname: string | null;
  readonly bind: string | null;
  #head = '';
  #dayFromMs = -1;
  #hourFromMs = -1;

  constructor(ip: string, ipId: string, hostname: string | null, bind: string | null) {
    this.ip = ip;
    this.ipId = ipId;
    this.hostname = hostname;
    this.bind = bind;
  }

  /** `<ipId>.<dayFromMs>.<hourFromMs>.`: how all receipts of an hour begin, so it is put together once. */
  receiptHead(dayFromMs: number, hourFromMs: number): string {
    if (hourFromMs !== this.#hourFromMs || dayFromMs !== this.#dayFromMs) {
      this.#head = `${this.ipId}.${dayFromMs}.${hourFromMs}.`;
      this.#dayFromMs = dayFromMs;
      this.#hourFromMs = hourFromMs;
    }
    return this.#head;
  }
}

/** Sends that one IP granted: all that a receipt needs. `seq` is that of the last of its takes. */
export type Part = { ip: NamedIp; sends: number; dayFromMs: number; hourFromMs: number; seq: number };

/** One reply as it stands, before it is divided among those who asked. */
export type Verdict = {
  granted: number;
  limit: number;
  remaining: number;
  retryAfterMs: number | null;
  resetAfterMs: number;
  because: BecauseCode | null;
  untilMs: number | null;
  /** The IPs that granted; of a denial the one with room soonest, with 0 sends. */
  parts: Part[];
};

/** By the BY_ numbers of `lua/counter.lua`. */
const BECAUSE: readonly (BecauseCode | null)[] = [
  null,
  'status',
  'hold',
  'day',
  'hour',
  'burst',
  'ceiling',
  'count',
];

export const MOST_SENDS_PER_TAKE = 1_000_000;

/** Reads a reply from front to back. */
export class ReplyReader {
  #at = 0;
  readonly #reply: Buffer;
  constructor(reply: Buffer) {
    this.#reply = reply;
  }

  double(): number {
    const value = this.#reply.readDoubleLE(this.#at);
    this.#at += 8;
    return value;
  }

  /** The sign that stands before what follows: 0 the short answer, -1 nothing is published, else a verdict. */
  peek(): number {
    return this.#reply.readDoubleLE(this.#at);
  }

  integer(): number {
    const value = this.#reply.readUInt32LE(this.#at);
    this.#at += 4;
    return value;
  }

  /** A hot record, from byte 8 on, as it is after one IP granted all that was asked of it. */
  record(length: number, sends: number): Verdict {
    const { limit, remaining, resetAfterMs, dayFromMs, hourFromMs, seq, textAt } = readCharged(
      this.#reply,
      this.#at,
    );
    const ip = namedIp(this.#reply.toString('latin1', textAt, this.#at + length));
    this.#at += length;
    return {
      granted: sends,
      limit,
      remaining,
      retryAfterMs: 0,
      resetAfterMs,
      because: null,
      untilMs: null,
      parts: [{ ip, sends, dayFromMs, hourFromMs, seq }],
    };
  }

  /** The answer of `answer_fast`: one IP granted all that was asked of it. */
  whole(sends: number): Verdict {
    this.#at += 8;
    const limit = this.double();
    const remaining = this.double();
    const resetAfterMs = this.double();
    const dayFromMs = this.double();
    const hourFromMs = this.double();
    const seq = this.double();
    const parts = [{ ip: this.#ip(this.double()), sends, dayFromMs, hourFromMs, seq }];
    return {
      granted: sends,
      limit,
      remaining,
      retryAfterMs: 0,
      resetAfterMs,
      because: null,
      untilMs: null,
      parts,
    };
  }

  verdict(): Verdict {
    const count = this.double();
    const because = BECAUSE[this.double()] ?? null;
    const granted = this.double();
    const limit = this.double();
    const remaining = this.double();
    const resetAfterMs = this.double();
    const retryAfterMs = this.double();
    const untilMs = this.double();
    const parts: Part[] = [];
    for (let part = 0; part < count; part += 1) {
      const sends = this.double();
      const dayFromMs = this.double();
      const hourFromMs = this.double();
      const seq = this.double();
      parts.push({ ip: this.#ip(this.double()), sends, dayFromMs, hourFromMs, seq });
    }
    return {
      granted,
      limit,
      remaining,
      resetAfterMs,
      retryAfterMs: retryAfterMs === -1 ? null : retryAfterMs,
      because,
      untilMs: untilMs === -1 ? null : untilMs,
      parts,
    };
  }

  /** Either form, for one take. */
  answer(sends: number): Verdict {
    return this.peek() === 0 ? this.whole(sends) : this.verdict();
  }

  #ip(length: number): NamedIp {
    const text = this.#reply.toString('latin1', this.#at, this.#at + length);
    this.#at += length;
    return namedIp(text);
  }
}

/** The same few texts come again and again: parsed once, and bounded. */
const namedIps = new Map<string, NamedIp>();
const MOST_NAMED = 100_000;

function namedIp(text: string): NamedIp {
  let named = namedIps.get(text);
  if (!named) {
    const [ipId = '', ip = '', hostname = '', bind = ''] = Buffer.from(text, 'latin1').toString().split('\n');
    named = new NamedIp(ip, ipId, hostname || null, bind || null);
    if (namedIps.size >= MOST_NAMED) namedIps.clear();
    namedIps.set(text, named);
  }
  return named;
}

/** The reply to one take. The common one is read without a detour: a microsecond in ten. */
export function readAnswer(reply: Buffer, count: number): TakeAnswer {
  if (reply.readDoubleLE(0) !== 0) return answerOf(new ReplyReader(reply).verdict());
  const named = namedIp(reply.toString('latin1', 64));
  const { ip, ipId, hostname, bind } = named;
  const head = named.receiptHead(reply.readDoubleLE(32), reply.readDoubleLE(40));
  return {
    allowed: true,
    granted: [{ ip, ipId, count, receipt: `${head}${count}.${reply.readDoubleLE(48)}`, hostname, bind }],
    limit: reply.readDoubleLE(8),
    remaining: reply.readDoubleLE(16),
    retryAfterMs: 0,
    resetAfterMs: reply.readDoubleLE(24),
    because: null,
  };
}

/** What one take alone is answered. @param peek receipts stay empty */
export function answerOf(verdict: Verdict, peek = false): TakeAnswer {
  const { granted, limit, remaining, retryAfterMs, resetAfterMs, because, untilMs, parts } = verdict;
  return {
    allowed: granted > 0,
    granted: granted > 0 ? parts.map((part) => grantOf(part, part.sends, part.seq, peek)) : [],
    limit,
    remaining,
    retryAfterMs,
    resetAfterMs,
    because: because && {
      code: because,
      scope: null,
      ipId: parts[0]?.ip.ipId || null,
      until: untilMs === null ? null : new Date(untilMs).toISOString(),
    },
  };
}

export function grantOf(part: Part, count: number, seq: number, peek = false): Grant {
  const { ip, ipId, hostname, bind } = part.ip;
  return { ip, ipId, count, receipt: peek ? '' : receiptOf(part, count, seq), hostname, bind };
}

export const receiptOf = ({ ip, dayFromMs, hourFromMs }: Part, count: number, seq: number) =>
  `${ip.receiptHead(dayFromMs, hourFromMs)}${count}.${seq}`;
