/**
 * `Idempotency-Key`: a client that retries a POST because it lost the answer is given that answer, and nothing is done
 * twice. How, says `fleet/idempotency.ts`; here the request is recognised and its answer kept.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Engine } from '../fleet/engine.ts';
import { tenantOf } from '../fleet/engine.ts';
import { type BegunRequest, beginRequest } from '../fleet/idempotency.ts';
import { invalid } from '../warmup/errors.ts';
import { actorOf } from './auth.ts';
import { HttpProblem } from './errors.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** What this request does, it does once, however often it is repeated; `null` where nobody asked for that. */
    repeatable: BegunRequest | null;
  }
}

/** What is done there is over in a moment and not to be had twice (a secret is shown once), counts on its own, or only asks. */
const IGNORED = /^\/v1\/(keys|quota|forecast|test-clock|webhooks)(\/|$)/;

export const heedsIdempotencyKey = (method: string, route: string) =>
  method === 'POST' && !IGNORED.test(route);

/** Of all routes, also of those where it stays `null`. */
export const prepareRepeatable = (app: FastifyInstance) => app.decorateRequest('repeatable', null);

export function rememberAnswers(app: FastifyInstance, engine: Engine): void {
  // Once the body is there, and before anybody acts on it.
  app.addHook('preHandler', async (request, reply) => {
    const key = keyOf(request);
    const { caller, routeOptions } = request;
    if (key === null || !caller) return;
    const begun = await beginRequest(tenantOf(engine, caller.account, actorOf(caller)), {
      route: `${request.method} ${routeOptions.url}`,
      key,
      asked: askedBy(request),
    });
    switch (begun.outcome) {
      case 'begun':
        request.repeatable = begun.request;
        return;
      case 'answered':
        return giveAgain(reply, begun.answer);
      case 'running':
        throw new HttpProblem(
          409,
          'conflict',
          'a request with this Idempotency-Key is still being answered; try again in a moment',
          { 'retry-after': String(Math.ceil(begun.retryAfterMs / 1000)) },
        );
      case 'other':
        throw new HttpProblem(
          409,
          'conflict',
          'this Idempotency-Key came with another request before; use a new key for each new request',
        );
    }
  });

  app.addHook('onSend', async (request, reply, payload) => {
    const { repeatable } = request;
    if (!repeatable) return;
    request.repeatable = null;
    const answer = {
      status: reply.statusCode,
      type: String(reply.getHeader('content-type') ?? ''),
      body: typeof payload === 'string' ? payload : '',
    };
    // What was done is done and will be found; that the answer could not be kept is no reason to keep it from the client.
    await repeatable
      .end(answer)
      .catch((error) => request.log.warn({ because: String(error) }, 'answer not kept'));
  });
}

/** All that decides what is done. @throws Error with a status, where the body nests so deeply that it cannot be written down */
function askedBy({ url, headers, body }: FastifyRequest): string {
  try {
    return JSON.stringify([url, headers['on-behalf-of'] ?? null, body ?? null]);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw Object.assign(new Error('the body nests too deeply; send it flat'), { statusCode: 400 });
  }
}

/** @throws WarmlineError `invalid` (param `Idempotency-Key`) */
function keyOf({ method, headers, routeOptions, is404 }: FastifyRequest): string | null {
  const key = headers['idempotency-key'];
  if (key === undefined || is404 || !heedsIdempotencyKey(method, routeOptions.url ?? '')) return null;
  if (typeof key !== 'string' || !/^[\x20-\x7e]{1,255}$/.test(key)) {
    throw invalid(
      'Idempotency-Key',
      'the header Idempotency-Key must have 1 to 255 printable ASCII characters',
    );
  }
  return key;
}

function giveAgain(
  reply: FastifyReply,
  { status, type, body }: { status: number; type: string; body: string },
) {
  if (type) reply.type(type);
  return reply
    .code(status)
    .header('idempotent-replayed', 'true')
    .send(body === '' ? undefined : body);
}
