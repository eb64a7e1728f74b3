/**
 * The dashboard: pages made on the server, for people who are signed in with an API key. Every rule is one of `src/fleet`;
 * here is only what is shown, and which button is. All works without a script; scripts add what moves.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { Scope } from '../../fleet/api-keys.ts';
import type { Context } from '../context.ts';
import { answerTo, HttpProblem, requireHost } from '../errors.ts';
import { html } from '../html.ts';
import { registerAssets } from './assets.ts';
import { registerChangesPage } from './changes.ts';
import { registerFleet } from './fleet.ts';
import { registerHeld } from './held.ts';
import { registerIp } from './ip.ts';
import { registerIpButtons } from './ip-buttons.ts';
import { type Page, renderPage } from './layout.ts';
import { registerLive } from './live.ts';
import { registerPoolPages } from './pools.ts';
import { registerSchedules } from './schedules.ts';
import { comesFromElsewhere, isTokenOf, type Session, sessionOf } from './sessions.ts';
import { registerSignIn } from './sign-in.ts';

declare module 'fastify' {
  interface FastifyRequest {
    session: Session | null;
  }
}

/** What every page is handed. */
export type Pages = {
  readonly app: FastifyInstance;
  readonly context: Context;
  /** @throws where the route let somebody in who is not signed in */
  sessionOf(request: FastifyRequest): Session;
  show(request: FastifyRequest, reply: FastifyReply, page: Omit<Page, 'session' | 'did'>): FastifyReply;
  /** A press of a button: the fields of its form, from somebody who may. @throws HttpProblem */
  fieldsOf(request: FastifyRequest, scope?: Scope): Record<string, string>;
};

const HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store',
};

export async function registerDashboard(app: FastifyInstance, context: Context, log: Logger): Promise<void> {
  const { engine } = context;
  app.decorateRequest('session', null);
  readForms(app);
  app.addHook('onRequest', async (request, reply) => {
    reply.headers({ ...HEADERS, 'x-request-id': request.id });
  });
  requireHost(app);

  app.setErrorHandler((error, request, reply) => {
    const { status, message, headers = {} } = answerTo(error, request, engine);
    if (status >= 500)
      log[status === 503 ? 'warn' : 'error']({ requestId: request.id, err: error }, 'page failed');
    const again = request.method === 'GET' || request.method === 'HEAD';
    const { referer = '' } = request.headers;
    const back = again ? request.url : URL.canParse(referer) ? new URL(referer).pathname : '/';
    return reply
      .code(status)
      .headers(headers)
      .type('text/html; charset=utf-8')
      .send(
        renderPage({
          title: status === 404 ? 'Not found' : 'That did not work',
          session: request.session,
          body: html`<h1>${status === 404 ? 'Not found' : 'That did not work'}</h1>
<p class="note bad" role="alert">${sentence(message)}</p>
<p class="buttons">${status !== 404 && html`<a class="button" href="${back}">${again ? 'Try again' : 'Back'}</a>`} <a class="button" href="/">To the fleet</a></p>`,
        }),
      );
  });

  const pages: Pages = {
    app,
    context,
    sessionOf(request) {
      if (!request.session) throw new Error(`${request.routeOptions.url} was reached without a session`);
      return request.session;
    },
    show(request, reply, page) {
      const { did } = request.query as { did?: unknown };
      return reply
        .type('text/html; charset=utf-8')
        .send(
          renderPage({ ...page, session: request.session, did: typeof did === 'string' ? did : undefined }),
        );
    },
    fieldsOf(request, scope = 'write') {
      const session = pages.sessionOf(request);
      const fields = (request.body ?? {}) as Record<string, string>;
      if (comesFromElsewhere(request) || !isTokenOf(session, fields.csrf ?? '')) {
        throw new HttpProblem(
          403,
          'forbidden',
          'this form is not from a page of this session; open the page anew and press again',
        );
      }
      if (!session.may(scope)) {
        throw new HttpProblem(
          403,
          'forbidden',
          `this key may look and not change; sign in with a key that has the scope ${scope}`,
        );
      }
      return fields;
    },
  };

  registerAssets(app);
  registerSignIn(pages);
  await app.register(async (rooms) => {
    rooms.addHook('onRequest', async (request, reply) => {
      request.session = await sessionOf(engine, request);
      if (!request.session) return turnAway(request, reply);
      if (!request.session.may('read')) {
        throw new HttpProblem(
          403,
          'forbidden',
          'this key may not look; sign in with a key that has the scope read',
        );
      }
    });
    const inside: Pages = { ...pages, app: rooms };
    registerLive(inside);
    registerFleet(inside);
    registerIp(inside);
    registerIpButtons(inside);
    registerPoolPages(inside);
    registerSchedules(inside);
    registerHeld(inside);
    registerChangesPage(inside);
  });
}

const sentence = (message: string) =>
  `${message.charAt(0).toUpperCase()}${message.slice(1)}${/[.?!]$/.test(message) ? '' : '.'}`;

/** Programs that come here get the answer that they can read: nobody without a key learns anything. */
function turnAway(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const isPage = request.method === 'GET' && request.routeOptions.url !== '/live';
  if (!isPage) throw new HttpProblem(401, 'authentication_error', 'the session is over; sign in again');
  const next = request.url === '/' ? '' : `?next=${encodeURIComponent(request.url)}`;
  return reply.redirect(`/sign-in${next}`, 303);
}

const FORM_LIMIT = 64 * 1024;

function readForms(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'string', bodyLimit: FORM_LIMIT },
    (_request, body, done) => done(null, Object.fromEntries(new URLSearchParams(body as string))),
  );
}
