/** In with an API key, and out again. */
import type { FastifyReply } from 'fastify';
import { HttpProblem } from '../errors.ts';
import { html } from '../html.ts';
import { renderPage } from './layout.ts';
import type { Pages } from './register.ts';
import {
  beginSession,
  comesFromElsewhere,
  endSession,
  giveCookie,
  limitTries,
  sessionOf,
  takeCookie,
} from './sessions.ts';

const LONGEST_KEY = 512;

export function registerSignIn({ app, context: { engine }, fieldsOf }: Pages): void {
  const tries = limitTries();

  app.get('/sign-in', async (request, reply) => {
    if (await sessionOf(engine, request)) return reply.redirect(nextOf(request.query), 303);
    return ask(reply, { next: nextOf(request.query) });
  });

  app.post('/sign-in', async (request, reply) => {
    const { key = '', next } = (request.body ?? {}) as { key?: string; next?: string };
    const goOn = nextOf({ next });
    if (comesFromElsewhere(request)) {
      throw new HttpProblem(
        403,
        'forbidden',
        'this form is not from a page of this server; open it here and sign in again',
      );
    }
    const seconds = await tries.waitFor(request.ip);
    if (seconds > 0) {
      reply.code(429).header('retry-after', String(seconds));
      return ask(reply, {
        next: goOn,
        problem: `Too many keys were tried from here. Try again in ${seconds} s.`,
      });
    }
    const begun = key.length > LONGEST_KEY ? null : await beginSession(engine, key.trim());
    if (!begun) {
      await tries.failed(request.ip);
      reply.code(401);
      return ask(reply, { next: goOn, problem: 'There is no such key, or it has expired or was revoked.' });
    }
    giveCookie(request, reply, begun.id);
    return reply.redirect(goOn, 303);
  });

  app.post('/sign-out', async (request, reply) => {
    request.session = await sessionOf(engine, request);
    if (request.session) {
      if (request.session.may('read')) fieldsOf(request, 'read');
      await endSession(engine, request.session);
    }
    takeCookie(request, reply);
    return reply.redirect('/sign-in', 303);
  });
}

/** A path of this server and nothing else, in letters that a header may hold. */
function nextOf(given: unknown): string {
  const { next } = (given ?? {}) as { next?: unknown };
  return typeof next === 'string' && /^\/(?![/\\])[!-[\]-~]{0,500}$/.test(next) ? next : '/';
}

function ask(reply: FastifyReply, { next, problem }: { next: string; problem?: string }) {
  return reply.type('text/html; charset=utf-8').send(
    renderPage({
      title: 'Sign in',
      session: null,
      body: html`<div class="narrow">
<h1>Sign in</h1>
<p>With an API key of the account that you want to see. A key with the scope <code>read</code> looks; <code>write</code> also presses buttons.</p>
${problem && html`<p class="note bad" role="alert" id="problem">${problem}</p>`}
<form class="card" method="post" action="/sign-in">
<input type="hidden" name="next" value="${next}">
<p class="field"><label for="f-key">API key</label>
<input id="f-key" name="key" type="password" required autocomplete="current-password" spellcheck="false" autocapitalize="off"${problem && html` aria-describedby="problem" aria-invalid="true"`}></p>
<p class="buttons"><button class="main">Sign in</button></p>
</form>
<p><small><code>npm start</code> keeps its key in <code>.warmline/api-key</code>; others are made with <code>warmline keys create</code>. The session lasts twelve hours, or until the key is revoked.</small></p>
</div>`,
    }),
  );
}
