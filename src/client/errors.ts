/** What the API refuses, and what goes wrong on the way to it: one class for each kind, so that `instanceof` tells them apart. */

/** What every error knows. `status` is `null` where no answer came. */
export type ErrorFacts = {
  status: number | null;
  /** For programs: `not_found`, `conflict`, `validation_error`, ... */
  code: string;
  /** The field at fault. */
  param: string | null;
  details: Readonly<Record<string, unknown>>;
  /** One id for all attempts of a call; the log of the API has it too. */
  requestId: string | null;
  /** How long the API asked to wait. */
  retryAfterMs: number | null;
};

export class WarmlineApiError extends Error implements ErrorFacts {
  readonly status: number | null;
  readonly code: string;
  readonly param: string | null;
  readonly details: Readonly<Record<string, unknown>>;
  readonly requestId: string | null;
  readonly retryAfterMs: number | null;

  constructor(message: string, facts: Partial<ErrorFacts> & { code: string; cause?: unknown }) {
    super(message, facts.cause === undefined ? {} : { cause: facts.cause });
    this.name = new.target.name;
    this.status = facts.status ?? null;
    this.code = facts.code;
    this.param = facts.param ?? null;
    this.details = facts.details ?? {};
    this.requestId = facts.requestId ?? null;
    this.retryAfterMs = facts.retryAfterMs ?? null;
  }
}

/** 401: the API does not know this key. */
export class AuthenticationError extends WarmlineApiError {}
/** 403: the key may not do this; it lacks a scope. */
export class ForbiddenError extends WarmlineApiError {}
/** 404: the account has no such IP or pool. */
export class NotFoundError extends WarmlineApiError {}
/** 409: the status of the IP forbids it, or a name is taken. */
export class ConflictError extends WarmlineApiError {}
/** 400, 413, 415, 422: the request is wrong; `param` names the field. */
export class ValidationError extends WarmlineApiError {}
/** 422 `quota_exceeded`: the inventory has no free address. A take over its quota is no error, but an answer. */
export class QuotaExceededError extends WarmlineApiError {}
/** 429: too many requests in a minute with this key. */
export class RateLimitError extends WarmlineApiError {}
/** 5xx: the API, or a proxy before it, could not answer. */
export class ServerError extends WarmlineApiError {}
/** No answer came, or a part of one: whether the API did what it was asked is unknown. */
export class ConnectionError extends WarmlineApiError {}
/** No answer came in time. */
export class TimeoutError extends ConnectionError {}

const OF_STATUS: Record<number, typeof WarmlineApiError> = {
  400: ValidationError,
  401: AuthenticationError,
  403: ForbiddenError,
  404: NotFoundError,
  409: ConflictError,
  413: ValidationError,
  415: ValidationError,
  422: ValidationError,
  429: RateLimitError,
};

/** The error that an answer is. @param body what it says, as far as it was JSON */
export function errorOf(
  status: number,
  body: unknown,
  known: { requestId: string | null; retryAfterMs: number | null },
): WarmlineApiError {
  const said = objectOf(objectOf(body).error);
  const code = textOf(said.code) ?? (status >= 500 ? 'server_error' : 'unexpected_answer');
  const message =
    textOf(said.message) ??
    `the answer is ${status} and not one of Warmline; check that the base URL is that of its API`;
  const facts = { status, code, param: textOf(said.param), details: objectOf(said.details), ...known };
  if (code === 'quota_exceeded') return new QuotaExceededError(message, facts);
  const Kind = OF_STATUS[status] ?? (status >= 500 ? ServerError : WarmlineApiError);
  return new Kind(message, facts);
}

const objectOf = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {};
const textOf = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null);
