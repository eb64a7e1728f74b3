/**
 * One call of the API: sent, read, and sent again where that is safe. Safe is what only looks, what says how things shall be
 * (PATCH, DELETE), and a POST under an Idempotency-Key, since the API does each key once. All else is sent one time.
 */
import {
  ConnectionError,
  errorOf,
  ServerError,
  TimeoutError,
  ValidationError,
  WarmlineApiError,
} from './errors.ts';

export type WarmlineOptions = {
  /** Where the API is; else `WARMLINE_URL`, else `http://127.0.0.1:8080`. */
  baseUrl?: string | undefined;
  /** Else `WARMLINE_API_KEY`. */
  apiKey?: string | undefined;
  /** How long one attempt may take until its whole answer is there. Default 30 000. */
  timeoutMs?: number | undefined;
  /** How often a call that may be repeated is sent again. Default 3; 0 is never. */
  maxRetries?: number | undefined;
  /** Instead of the `fetch` of Node. */
  fetch?: typeof globalThis.fetch | undefined;
};

/** For one call. */
export type CallOptions = {
  /** Ends the call, with its waiting and its retries; what it then throws is the reason of the signal. */
  signal?: AbortSignal | undefined;
  timeoutMs?: number | undefined;
  maxRetries?: number | undefined;
};

/** For a call that creates or changes something. */
export type ChangeOptions = CallOptions & {
  /** Your own, if the same call may come from another process too; else each call gets one. */
  idempotencyKey?: string | undefined;
};

export type Call = {
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  path: string;
  query?: Readonly<Record<string, string | number | undefined>>;
  body?: unknown;
  /** A POST with an Idempotency-Key. */
  keyed?: boolean;
  /** A POST that changes nothing. */
  asks?: boolean;
  /** Is this refusal of a repeated call what its first attempt left behind, so that all is as it was asked? */
  isDone?: (error: WarmlineApiError) => boolean;
};

const DEFAULT_URL = 'http://127.0.0.1:8080';
const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_RETRIES = 3;
const LONGEST_TIMER_MS = 2 ** 31 - 1;

const FIRST_BACKOFF_MS = 200;
const LONGEST_BACKOFF_MS = 10_000;
/** Who is asked to wait longer than this gets the error, and decides. */
const LONGEST_RETRY_AFTER_MS = 60_000;

/** What the API takes at most. */
const LARGEST_BODY_BYTES = 1024 * 1024;
/** A fleet of thousands that moved through weeks on a test clock fits; what never ends does not. */
const LARGEST_ANSWER_BYTES = 64 * 1024 * 1024;

export class Api {
  readonly #baseUrl: string;
  readonly #apiKey: string;
  readonly #timeoutMs: number;
  readonly #maxRetries: number;
  readonly #fetch: typeof globalThis.fetch;

  constructor(options: WarmlineOptions = {}) {
    this.#baseUrl = checkUrl(options.baseUrl ?? environment('WARMLINE_URL') ?? DEFAULT_URL);
    this.#apiKey = checkKey(options.apiKey ?? environment('WARMLINE_API_KEY'));
    this.#timeoutMs = checkTimeout(options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
    this.#maxRetries = checkRetries(options.maxRetries ?? DEFAULT_RETRIES);
    const given = options.fetch;
    this.#fetch = given ? (...args) => given(...args) : (...args) => globalThis.fetch(...args);
  }

  /** @throws WarmlineApiError, and the reason of `signal` when it ends the call */
  async request<Answer>(call: Call, options: ChangeOptions = {}): Promise<Answer> {
    const { signal } = options;
    const maxRetries = checkRetries(options.maxRetries ?? this.#maxRetries);
    const send = this.#sender(call, options);
    let mayBeDone = false;
    for (let retries = 0; ; retries += 1) {
      signal?.throwIfAborted();
      try {
        return (await send()) as Answer;
      } catch (error) {
        if (!(error instanceof WarmlineApiError)) throw error;
        if (mayBeDone && call.isDone?.(error)) return undefined as Answer;
        mayBeDone ||= isUnknown(error);
        if (retries >= maxRetries || !mayRepeat(call) || !isPassing(error, call)) throw error;
        const { retryAfterMs } = error;
        if (retryAfterMs !== null && retryAfterMs > LONGEST_RETRY_AFTER_MS) throw error;
        await pause((retryAfterMs ?? 0) + backoffMs(retryAfterMs === null ? retries : 0), signal);
      }
    }
  }

  /** Every attempt of a call is the same request, under the same ids. */
  #sender(call: Call, options: ChangeOptions): () => Promise<unknown> {
    const requestId = crypto.randomUUID();
    const body = call.body === undefined ? null : JSON.stringify(call.body);
    if (body !== null && new TextEncoder().encode(body).length > LARGEST_BODY_BYTES) {
      throw new ValidationError('the body is larger than 1 MiB; send less at once', {
        code: 'validation_error',
      });
    }
    const headers: Record<string, string> = {
      accept: 'application/json',
      authorization: `Bearer ${this.#apiKey}`,
      'user-agent': 'warmline-client-node',
      'x-request-id': requestId,
      ...(body === null ? {} : { 'content-type': 'application/json' }),
      ...(call.keyed ? { 'idempotency-key': checkIdempotencyKey(options.idempotencyKey) } : {}),
    };
    const url = `${this.#baseUrl}${call.path}${queryOf(call.query)}`;
    const timeoutMs = checkTimeout(options.timeoutMs ?? this.#timeoutMs);
    return () =>
      this.#attempt(
        url,
        { method: call.method, headers, body },
        { requestId, timeoutMs, signal: options.signal },
      );
  }

  async #attempt(
    url: string,
    request: { method: string; headers: Record<string, string>; body: string | null },
    {
      requestId,
      timeoutMs,
      signal,
    }: { requestId: string; timeoutMs: number; signal?: AbortSignal | undefined },
  ): Promise<unknown> {
    // A signal of our own for each attempt: one that lives as long as the caller's would gather listeners.
    const ends = new AbortController();
    const timer = setTimeout(() => ends.abort(), timeoutMs);
    const abort = () => ends.abort();
    signal?.addEventListener('abort', abort, { once: true });
    try {
      // Never followed: a redirected POST becomes a GET, and the key is meant for this host.
      const response = await this.#fetch(url, { ...request, redirect: 'manual', signal: ends.signal });
      const text = await readText(response);
      return answerOf(response, text, requestId);
    } catch (error) {
      if (error instanceof WarmlineApiError) throw error;
      signal?.throwIfAborted();
      const where = `${request.method} ${new URL(url).origin}`;
      if (ends.signal.aborted) {
        throw new TimeoutError(`${where}: no answer within ${timeoutMs} ms`, { code: 'timeout', requestId });
      }
      const why = reasonOf(error);
      throw new ConnectionError(`${where}: no answer${why && ` (${why})`}`, {
        code: 'connection_error',
        requestId,
        cause: error,
      });
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    }
  }
}

/** A path with its parts encoded. A part that is empty or made of dots would name another resource. */
export function path(parts: TemplateStringsArray, ...names: string[]): string {
  return parts.reduce((before, part, index) => {
    const name = names[index - 1]!;
    if (typeof name !== 'string' || name === '' || name === '.' || name === '..') {
      throw new TypeError(`${JSON.stringify(name)} names nothing; give an id, an address or a name`);
    }
    return `${before}${encodeURIComponent(name)}${part}`;
  });
}

const mayRepeat = ({ method, keyed = false, asks = false }: Call) => method !== 'POST' || keyed || asks;

/** After these nobody knows whether the request was carried out. */
const isUnknown = (error: WarmlineApiError) =>
  error instanceof ConnectionError || error instanceof ServerError;

/** May the next attempt succeed where this one did not? A 409 that says when: our first attempt is still under way. */
function isPassing(error: WarmlineApiError, { keyed = false }: Call): boolean {
  if (isUnknown(error)) return error.code !== 'answer_too_large';
  const { status, retryAfterMs } = error;
  return status === 408 || status === 429 || (keyed && status === 409 && retryAfterMs !== null);
}

/** Doubled each time, and spread over its upper half, so that clients that failed together do not come back together. */
const backoffMs = (retries: number) =>
  Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** retries) * (0.5 + Math.random() / 2);

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(signal!.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', abort);
      resolve();
    }, ms);
    signal?.addEventListener('abort', abort, { once: true });
  });
}

async function readText(response: Response): Promise<string> {
  if (!response.body) return '';
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let text = '';
  let bytes = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    bytes += value.byteLength;
    if (bytes > LARGEST_ANSWER_BYTES) {
      reader.cancel().catch(() => {});
      throw new ConnectionError(`the answer is larger than ${LARGEST_ANSWER_BYTES} bytes`, {
        code: 'answer_too_large',
        status: response.status,
      });
    }
    text += decoder.decode(value, { stream: true });
  }
}

function answerOf(response: Response, text: string, sentId: string): unknown {
  const { status, headers } = response;
  const requestId = headers.get('x-request-id') ?? sentId;
  const isJson = /^application\/(json|[\w.+-]+\+json)\b/i.test(headers.get('content-type') ?? '');
  const body = isJson ? parse(text) : undefined;
  const isGood = status >= 200 && status < 300;
  if (isGood && text === '') return undefined;
  if (isGood && body !== undefined) return body;
  const known = { requestId, retryAfterMs: retryAfterMs(headers.get('retry-after')) };
  throw errorOf(status, body, known);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Seconds, or an instant by the clock of the server. */
function retryAfterMs(said: string | null): number | null {
  if (said === null) return null;
  if (/^\d{1,9}$/.test(said.trim())) return Number(said) * 1000;
  const at = Date.parse(said);
  return Number.isNaN(at) ? null : Math.max(0, at - Date.now());
}

function queryOf(query: Call['query'] = {}): string {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) given.set(name, String(value));
  return given.size === 0 ? '' : `?${given}`;
}

function reasonOf(error: unknown): string {
  const { cause, message } = error as { cause?: { code?: unknown; message?: unknown }; message?: unknown };
  return String(cause?.code ?? cause?.message ?? message ?? '');
}

function environment(name: string): string | undefined {
  const value = typeof process === 'undefined' ? undefined : process.env[name]?.trim();
  return value === '' ? undefined : value;
}

/** What is wrong is told without the value: a URL may carry a password, and a key is one. */
function checkUrl(given: string): string {
  const url = URL.canParse(given) ? new URL(given) : null;
  if (!url || !['http:', 'https:'].includes(url.protocol)) {
    throw new TypeError('baseUrl is no URL of an API (example: http://127.0.0.1:8080)');
  }
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw new TypeError('baseUrl must not carry a user, a query or a fragment; give the key as apiKey');
  }
  return url.href.replace(/\/+$/, '');
}

function checkKey(given: string | undefined): string {
  if (!given) throw new TypeError('an API key is needed; give apiKey, or set WARMLINE_API_KEY');
  if (!/^[\x21-\x7e]+$/.test(given)) {
    throw new TypeError('apiKey holds blanks or letters that do not fit into a header');
  }
  return given;
}

function checkIdempotencyKey(given: string = crypto.randomUUID()): string {
  if (/^[\x20-\x7e]{1,255}$/.test(given)) return given;
  throw new TypeError('an idempotencyKey has 1 to 255 printable ASCII characters');
}

function checkTimeout(given: number): number {
  if (given > 0) return Math.min(given, LONGEST_TIMER_MS);
  throw new TypeError(`timeoutMs is ${given}; it must be a number of milliseconds above 0`);
}

function checkRetries(given: number): number {
  if (Number.isInteger(given) && given >= 0) return given;
  throw new TypeError(`maxRetries is ${given}; it must be a whole number from 0`);
}
