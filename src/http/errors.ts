/**
 * Every error as JSON, whoever raised it: `{"error": {"code", "message", "param", "details"}}`. A program reads the code, a
 * person the sentence; what happened inside stands in the log under the request id, and never in an answer.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { Engine } from '../fleet/engine.ts';
import { redisIsOut } from '../redis/out.ts';
import { WarmlineError, type WarmlineErrorCode } from '../warmup/errors.ts';
import { inWordsOfV3, V3Refusal } from '../wire/v3.ts';
import { speaksV3 } from './dialect.ts';

/** The codes that clients of the v1 dialect know. */
export type ErrorCode =
  | 'validation_error'
  | 'authentication_error'
  | 'forbidden'
  | 'not_found'
  | 'conflict'
  | 'quota_exceeded'
  | 'rate_limit'
  | 'server_error';

type Answer = {
  status: number;
  code: ErrorCode;
  message: string;
  param?: string | null;
  details?: Readonly<Record<string, unknown>>;
  headers?: Readonly<Record<string, string>>;
  /** The body, where the v3 dialect has written it already. */
  v3?: V3Refusal['body'];
};

/** A refusal that HTTP itself gives rise to. */
export class HttpProblem extends Error {
  readonly answer: Answer;

  /** @param param the field at fault; an empty one is what SendGrid's newer routes say when there is none */
  constructor(
    status: number,
    code: ErrorCode,
    message: string,
    headers: Record<string, string> = {},
    param: string | null = null,
  ) {
    super(message);
    this.answer = { status, code, message, headers, param };
  }
}

const OF_WARMLINE: Record<WarmlineErrorCode, { status: number; code: ErrorCode }> = {
  invalid: { status: 422, code: 'validation_error' },
  not_found: { status: 404, code: 'not_found' },
  conflict: { status: 409, code: 'conflict' },
  exhausted: { status: 422, code: 'quota_exceeded' },
  contended: { status: 503, code: 'server_error' },
};

const TRY_AGAIN_SOON = { 'retry-after': '1' };

export function answerErrors(app: FastifyInstance, engine: Engine, log: Logger): void {
  app.setErrorHandler((error, request, reply) => {
    const answer = answerTo(error, request, engine);
    // The sentence of a 503 says all there is to say; what nobody foresaw comes with its stack.
    // By hand: the routes of the hot path have no logger of their own for each request.
    const requestId = request.id;
    if (answer.status === 503)
      log.warn({ requestId, because: String(error) }, 'request could not be answered');
    else if (answer.status >= 500) log.error({ requestId, err: error }, 'request failed');
    return send(reply, answer);
  });
}

/** What is asked for and is not there, also by a method that is not. */
export function answerNotFound(app: FastifyInstance): void {
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?', 1)[0] ?? '/';
    const allowed = METHODS.filter((method) => app.findRoute({ method, url: path }) !== null);
    const answer =
      allowed.length === 0 ? noRoute(request.method, path) : wrongMethod(request.method, path, allowed);
    return send(reply, inDialect(answer, request));
  });
}

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;

const noRoute = (method: string, path: string): Answer => ({
  status: 404,
  code: 'not_found',
  message: `there is no ${method} ${shorten(path)} in this API`,
});

const wrongMethod = (method: string, path: string, allowed: readonly string[]): Answer => ({
  status: 405,
  code: 'not_found',
  message: `${shorten(path)} does not know ${method}; it knows ${allowed.join(', ')}`,
  headers: { allow: allowed.join(', ') },
});

const shorten = (path: string) => (path.length <= 100 ? path : `${path.slice(0, 99)}…`);

export function send(reply: FastifyReply, answer: Answer): FastifyReply {
  return reply
    .code(answer.status)
    .headers(answer.headers ?? {})
    .type('application/json; charset=utf-8')
    .send(speaksV3(reply.request) ? (answer.v3 ?? bodyOfV3(answer)) : bodyOf(answer));
}

export const bodyOf = ({ code, message, param = null, details = {} }: Answer) => ({
  error: { code, message, param, details },
});

/** `help` is there where SendGrid prints it. */
const bodyOfV3 = ({ status, message, param = null }: Answer) => ({
  errors: [{ field: param, message, ...(status === 401 && param === null ? { help: null } : {}) }],
});

/** Fastify's own refusals, in sentences that say what to do. Their codes come before their statuses: these are stable. */
const OF_FASTIFY: Record<string, string> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE:
    'the body must be JSON, sent with the header "Content-Type: application/json"',
  FST_ERR_CTP_BODY_TOO_LARGE: 'the body is larger than 1 MiB; send less at once',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'the body is not as long as its Content-Length says',
  FST_ERR_CTP_INVALID_JSON_BODY: 'the body is not valid JSON',
  FST_ERR_BAD_URL: 'the address of this request is not a valid URL; percent-encode what stands in its path',
  FST_ERR_MAX_PARAM_LENGTH: 'a part of the path is too long',
};

export function answerTo(error: unknown, request: FastifyRequest, engine: Engine): Answer {
  // These two are in the words of the dialect already.
  if (error instanceof HttpProblem) return error.answer;
  if (error instanceof V3Refusal) {
    return { status: error.status, code: 'validation_error', message: error.message, v3: error.body };
  }
  const isUnreadable = error instanceof SyntaxError || codeOf(error) === 'FST_ERR_CTP_INVALID_JSON_BODY';
  return inDialect(plainAnswerTo(error, request, engine), request, isUnreadable);
}

const codeOf = (error: unknown) => (error as Partial<FastifyError> | null)?.code;

function inDialect(answer: Answer, request: FastifyRequest, isUnreadable = false): Answer {
  if (!speaksV3(request)) return answer;
  const { status, message, param = null } = answer;
  return {
    ...answer,
    ...inWordsOfV3(request.url, { status, message, param }, isUnreadable && status === 400),
  };
}

function plainAnswerTo(error: unknown, request: FastifyRequest, engine: Engine): Answer {
  if (error instanceof WarmlineError) {
    const { message, param, details } = error;
    const known = OF_WARMLINE[error.code];
    return {
      ...known,
      message,
      param,
      details,
      ...(known.status === 503 ? { headers: TRY_AGAIN_SOON } : {}),
    };
  }
  if (redisIsOut(error, engine.scripts.redis)) {
    const message =
      request.method === 'GET' || request.method === 'HEAD'
        ? 'Redis does not answer; try again in a moment'
        : 'Redis does not answer, so it is not known whether this was done; look before you try again';
    return { status: 503, code: 'server_error', message, headers: TRY_AGAIN_SOON };
  }
  const { statusCode = 500, code = '', message } = error as Partial<FastifyError>;
  if (statusCode >= 400 && statusCode < 500) {
    const sentence =
      OF_FASTIFY[code] ?? (error instanceof SyntaxError ? `the body is not valid JSON: ${message}` : message);
    return { status: statusCode, code: 'validation_error', message: sentence ?? 'the request is not valid' };
  }
  return {
    status: 500,
    code: 'server_error',
    message: `something went wrong inside Warmline; its log says what, under the request id ${request.id}`,
  };
}

/** What Node itself would refuse without a word: an expectation that nobody can meet. */
export function refuseExpectation({ url = '' }: IncomingMessage, response: ServerResponse): void {
  const message = 'the header Expect asks for what this server cannot do; leave it out, or send 100-continue';
  const answer: Answer = { status: 417, code: 'validation_error', message };
  const body = JSON.stringify(speaksV3({ url }) ? bodyOfV3(answer) : bodyOf(answer));
  response.writeHead(417, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    connection: 'close',
  });
  response.end(body);
}

/** A request has to say whom it asks: Node would refuse it too, without a word. */
export function requireHost(app: FastifyInstance): void {
  app.addHook('onRequest', ({ headers, raw }, _reply, done) => {
    if (headers.host !== undefined || raw.httpVersion === '1.0') return done();
    done(new HttpProblem(400, 'validation_error', 'the header Host is missing; name the host that is asked'));
  });
}

/**
 * What is no HTTP at all, a method that nobody knows, or too large for a header: Node hands over the bare socket, and the
 * words as they came, which may still say whose dialect it was.
 */
export function refuseBadHttp(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  if (!socket.writable) {
    socket.destroy(error);
    return;
  }
  const [status, message] =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? ['431 Request Header Fields Too Large', 'the headers of this request are too large']
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? ['408 Request Timeout', 'the request did not arrive in time']
        : ['400 Bad Request', 'this is no valid HTTP request'];
  const { rawPacket } = error as { rawPacket?: Buffer };
  const [, url = ''] = /^[^ ]+ ([^ \r\n]+)/.exec(rawPacket?.toString('latin1', 0, 200) ?? '') ?? [];
  const answer: Answer = { status: 400, code: 'validation_error', message };
  const body = JSON.stringify(speaksV3({ url }) ? bodyOfV3(answer) : bodyOf(answer));
  socket.end(
    `HTTP/1.1 ${status}\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}
