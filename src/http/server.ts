/**
 * The HTTP API. Each room of it is one file that registers its routes; here they get a key at the door, JSON for every
 * error, and one line in the log for each request. The hot path has an entrance of its own, where nothing is done that a
 * take does not need: nothing is counted, kept or written about it. The caller listens and closes.
 */
import { randomUUID } from 'node:crypto';
import Fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyRequest,
  LogController,
} from 'fastify';
import type { Logger } from 'pino';
import { receiptSecret } from '../fleet/accounts.ts';
import type { Engine } from '../fleet/engine.ts';
import { Registry } from '../runtime/metrics.ts';
import { registerAccounts } from './accounts.ts';
import { createDoor } from './auth.ts';
import { registerChanges } from './changes.ts';
import { closeInTime, LEAVING, lastAnswers } from './closing.ts';
import { createContext } from './context.ts';
import { registerDashboard } from './dashboard/register.ts';
import { registerDemand } from './demand.ts';
import { registerDocs } from './docs.ts';
import {
  answerErrors,
  answerNotFound,
  answerTo,
  refuseBadHttp,
  refuseExpectation,
  requireHost,
  send,
} from './errors.ts';
import { registerExplain } from './explain.ts';
import { registerForecast } from './forecast.ts';
import { checkReady, type Readiness, registerHealth } from './health.ts';
import { prepareRepeatable, rememberAnswers } from './idempotency.ts';
import { registerInventory } from './inventory.ts';
import { registerKeys } from './keys.ts';
import { countAnswers, createTakeCounts, registerMetrics } from './metrics.ts';
import { collectRoutes, registerOpenApi } from './openapi.ts';
import { registerQuotas, registerTakes } from './quota.ts';
import { limitRequests } from './rate-limit.ts';
import { registerTestClock } from './test-clock.ts';
import { registerDedicatedIps } from './v1/dedicated-ips.ts';
import { registerHolds } from './v1/holds.ts';
import { registerPools } from './v1/pools.ts';
import { pathOfV3, registerV3 } from './v3/register.ts';
import { registerWebhooks } from './webhooks.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Asked so often that a line for each request would be the whole log. */
    quiet?: boolean;
  }
}

export type ApiOptions = {
  engine: Engine;
  log: Logger;
  /** Can it serve? Unless said: Redis answers and holds the database that was opened. */
  ready?: () => Promise<Readiness>;
  /** Aborted when the process is about to end: it is then not ready, and keeps no connection. */
  leaving?: AbortSignal;
  /** For the answer of `/readyz`, where the worker runs in the same process. */
  workerIsRunning?: () => boolean;
  /** Requests per minute and key; 0 for no limit. */
  rateLimitPerMinute?: number;
  /** Real time in ms, for what is remembered briefly; only differences count. */
  clock?: () => number;
  /** What `/metrics` shows: that of the process, to which the API adds its own. */
  registry?: Registry;
  /** Webhooks may go to private addresses, and without TLS. */
  webhooksMayBePrivate?: boolean;
};

/** An answer is for whoever has the key: no cache keeps it, and no page of somebody else's shows it or guesses its type. */
const FOR_THE_CALLER_ALONE = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'cross-origin-resource-policy': 'same-origin',
};
const BODY_LIMIT = 1024 * 1024;
/** A pool's name has up to 64 characters, of up to 12 bytes each once they are percent-encoded. */
const LONGEST_PARAM = 1_000;

export async function createApi({
  engine,
  log,
  ready = () => checkReady(engine),
  leaving = new AbortController().signal,
  workerIsRunning,
  rateLimitPerMinute = 0,
  clock = () => performance.now(),
  registry = new Registry(),
  webhooksMayBePrivate = false,
}: ApiOptions): Promise<FastifyInstance> {
  // No logger is given here: it would make one of its own for each request, also where nothing is written.
  const app: FastifyInstance = Fastify({
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'requestId' }),
    bodyLimit: BODY_LIMIT,
    // A request without a Host is refused below, in the words of its dialect.
    http: { ServerResponse: lastAnswers(leaving), requireHostHeader: false },
    routerOptions: { maxParamLength: LONGEST_PARAM, ignoreTrailingSlash: true },
    rewriteUrl: ({ url = '/' }) => pathOfV3(url),
    genReqId: (request) => requestId(request.headers['x-request-id']),
    // While it closes it answers what still comes in on open connections, which it ends.
    return503OnClosing: false,
    clientErrorHandler: refuseBadHttp,
    frameworkErrors: (error, request, reply) => {
      void send(reply.header('x-request-id', request.id), answerTo(error, request, engine));
    },
  });

  closeInTime(app, log);
  app.server.on('checkExpectation', refuseExpectation);

  const context = createContext(engine, await receiptSecret(engine));
  app.addHook('onClose', () => context.tellAllDemand());
  // Before the routes are listed and the door is made: its pages are no part of the API, and people sign in.
  await app.register(async (pages) => {
    logAnswers(pages, log);
    await registerDashboard(pages, context, log);
  });

  const routes = collectRoutes(app);
  const door = createDoor(app, engine, clock);
  prepareRepeatable(app);
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id);
    done();
  });
  requireHost(app);
  readJson(app);
  answerErrors(app, engine, log);

  await app.register(async (hot) => {
    door.admit(hot, 'send');
    if (log.isLevelEnabled('debug')) logAnswers(hot, log);
    registerTakes(hot, context, log, createTakeCounts(registry));
  });
  await app.register(async (rooms) => {
    rooms.setChildLoggerFactory(
      (_none, bindings, options) => log.child(bindings, options) as FastifyBaseLogger,
    );
    rooms.addHook('onRequest', (_request, reply, done) => {
      reply.headers(FOR_THE_CALLER_ALONE);
      done();
    });
    door.requireKeys(rooms);
    await limitRequests(rooms, engine, rateLimitPerMinute);
    door.requireScopes(rooms);
    rememberAnswers(rooms, engine);
    answerNotFound(rooms);
    logAnswers(rooms, log);
    countAnswers(rooms, registry);
    registerOpenApi(rooms, routes);
    registerDocs(rooms, routes);
    registerHealth(rooms, async () => (leaving.aborted ? LEAVING : ready()), workerIsRunning);
    registerMetrics(rooms, engine, registry);
    registerQuotas(rooms, context);
    registerExplain(rooms, context);
    registerDemand(rooms, context);
    registerForecast(rooms, context);
    registerTestClock(rooms, context);
    registerInventory(rooms, context);
    registerAccounts(rooms, context);
    registerKeys(rooms, context);
    registerDedicatedIps(rooms, context);
    registerPools(rooms, context);
    registerHolds(rooms, context);
    registerChanges(rooms, context);
    registerWebhooks(rooms, context, { allowPrivate: webhooksMayBePrivate });
    await rooms.register(async (v3) => registerV3(v3, context));
  });
  await app.ready();
  return app;
}

function logAnswers(app: FastifyInstance, log: Logger): void {
  app.addHook('onResponse', (request, reply, done) => {
    const line = {
      requestId: request.id,
      method: request.method,
      path: request.url.split('?', 1)[0],
      status: reply.statusCode,
      ms: Math.round(reply.elapsedTime),
      account: request.caller?.account.name,
    };
    log[request.routeOptions.config.quiet ? 'debug' : 'info'](line, 'request answered');
    done();
  });
}

/** The caller's own id if it can be written into a log, so that one id follows a request through all systems. */
function requestId(given: string | string[] | undefined): string {
  return typeof given === 'string' && /^[\w.:/+=-]{1,128}$/.test(given) ? given : randomUUID();
}

/**
 * JSON and nothing else. SDKs name that content type also where they send no body; no body is then `undefined`. What would
 * reach for a prototype is refused.
 */
function readJson(app: FastifyInstance): void {
  const parseJson = app.getDefaultJsonParser('error', 'error');
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    // What `curl -d` sends when nobody names a type is called a form, and is the JSON that was typed.
    ['application/json', 'application/x-www-form-urlencoded'],
    { parseAs: 'string' },
    (request: FastifyRequest, body, done) => {
      if (body.length === 0) done(null, undefined);
      else void parseJson(request, body as string, done);
    },
  );
}
