/** The dashboard as a browser sees it, and as one sees it who sends its forms by hand. */
import type { InjectOptions } from 'fastify';
import { pagesOf } from '../http/routes.ts';
import { HEADERS, QUERIES, SEGMENTS, TEXTS } from './hostile.ts';
import { inTime } from './in-time.ts';
import type { Random } from './random.ts';
import type { Request } from './requests.ts';
import { ADMIN_KEY, type Caller, hashOf, type Stage } from './stage.ts';
import { named, type World } from './values.ts';

const SESSIONS = ['operator', 'owner', 'reader'] as const;
type SignedIn = (typeof SESSIONS)[number];

export type Browser = {
  /** A page, with a session or without one. */
  page(world: World): Request;
  /** A form of a page, filled in well, nearly well or badly; `null` when the page has none. */
  form(world: World): Promise<Request | null>;
};

export async function openBrowser(stage: Stage): Promise<Browser> {
  const { app, keys, secrets } = stage;
  const paths = pagesOf(app)
    .filter((name) => name.startsWith('GET '))
    .map((name) => name.slice(4).replace(/\/+$/, '') || '/');
  const cookies = new Map<SignedIn, string>();

  type Question = InjectOptions & { method: string; url: string };
  const ask = (question: Question) => inTime(`${question.method} ${question.url}`, app.inject(question));

  async function signIn(who: SignedIn): Promise<string> {
    const { headers } = await ask({
      method: 'POST',
      url: '/sign-in',
      headers: FORM,
      payload: new URLSearchParams({ key: keys[who] ?? ADMIN_KEY }).toString(),
    });
    const cookie = String(headers['set-cookie']).split(';')[0]!;
    // A session that is over is no secret any more, and a list that grows would make each look cost more than the one before.
    for (const secret of secretsOf(cookies.get(who))) secrets.delete(secret);
    cookies.set(who, cookie);
    for (const secret of secretsOf(cookie)) secrets.set(secret, `the session of the ${who}`);
    return cookie;
  }

  /** Signs in anew where somebody has pressed "sign out". */
  async function cookieOf(who: SignedIn): Promise<string> {
    const cookie = cookies.get(who);
    if (cookie) {
      const { statusCode } = await ask({ method: 'GET', url: '/changes', headers: { cookie } });
      if (statusCode === 200) return cookie;
    }
    return signIn(who);
  }
  for (const who of SESSIONS) await signIn(who);

  const drawPath = (world: World) => world.random.pick(paths).replace(/\{(\w+)\}/g, () => partOf(world));

  return {
    page(world) {
      const { random } = world;
      const who = random.pick([...SESSIONS, 'nobody'] as const);
      const url = drawPath(world);
      const [name, value] = random.pick(HEADERS);
      return {
        kind: 'page',
        caller: who,
        method: random.chance(0.95) ? 'GET' : 'HEAD',
        url: random.chance(0.4) ? `${url}?${random.pick(QUERIES)}` : url,
        headers: {
          ...(who === 'nobody' ? {} : { cookie: cookies.get(who)! }),
          ...(random.chance(0.15) && isToBeSent(value) ? { [name]: value } : {}),
        },
      };
    },
    async form(world) {
      const { random } = world;
      const who = random.pick(SESSIONS);
      const cookie = await cookieOf(who);
      const page = await ask({ method: 'GET', url: drawPath(world), headers: { cookie } });
      const forms = formsIn(page.body);
      if (forms.length === 0) return null;
      const form = random.pick(forms);
      return submit(form, who, cookie, world);
    },
  };
}

/** `inject` takes what a header may hold; the rest goes over sockets. */
const isToBeSent = (value: string) => /^[\x20-\x7e]*$/.test(value);

/** The id of a session, and its name in Redis. */
function secretsOf(cookie = ''): string[] {
  const id = cookie.slice(cookie.indexOf('=') + 1);
  return id === '' ? [] : [id, hashOf(id)];
}

const FORM = { 'content-type': 'application/x-www-form-urlencoded' };

const partOf = (world: World) => {
  const kind = world.random.weighed({ ip: 5, pool: 5, hostile: 1 });
  return kind === 'hostile' ? world.random.pick(SEGMENTS) : encodeURIComponent(named(world, kind));
};

type Field = { name: string; value: string; choices: string[] };
type Form = { action: string; fields: Field[] };

const attribute = (tag: string, name: string) =>
  new RegExp(`\\b${name}="([^"]*)"`).exec(tag)?.[1]?.replaceAll('&amp;', '&').replaceAll('&#39;', "'");

function formsIn(page: string): Form[] {
  return [...page.matchAll(/<form\b([^>]*)>([\s\S]*?)<\/form>/g)].flatMap(([, tag = '', inside = '']) => {
    if (attribute(tag, 'method') !== 'post') return [];
    const inputs = [...inside.matchAll(/<(?:input|textarea|button)\b([^>]*)>/g)].map(([, one = '']) => ({
      name: attribute(one, 'name') ?? '',
      value: attribute(one, 'value') ?? '',
      choices: [],
    }));
    const selects = [...inside.matchAll(/<select\b([^>]*)>([\s\S]*?)<\/select>/g)].map(
      ([, one = '', options = '']) => {
        const choices = [...options.matchAll(/<option\b([^>]*)>/g)].map(
          ([, option = '']) => attribute(option, 'value') ?? '',
        );
        return { name: attribute(one, 'name') ?? '', value: choices[0] ?? '', choices };
      },
    );
    const fields: Field[] = [...inputs, ...selects].filter(({ name }) => name !== '');
    return [{ action: attribute(tag, 'action') ?? '/', fields }];
  });
}

function submit({ action, fields }: Form, caller: Caller, cookie: string, { random }: World): Request {
  const filled = new URLSearchParams();
  for (const { name, value, choices } of fields) {
    filled.append(name, choices.length > 0 ? random.pick(choices) : value || goodText(name, random));
  }
  const headers: Record<string, string> = { ...FORM, cookie, 'sec-fetch-site': 'same-origin' };
  let url = action;
  const spoils = random.weighed({
    nothing: 4,
    value: 5,
    token: 1,
    twice: 1,
    extra: 1,
    header: 1,
    type: 1,
    path: 1,
  });
  const names = fields.map(({ name }) => name).filter((name) => name !== 'csrf');
  if (spoils === 'value' && names.length > 0) filled.set(random.pick(names), random.pick(TEXTS));
  else if (spoils === 'token') filled.set('csrf', random.pick(TEXTS));
  else if (spoils === 'twice' && names.length > 0) filled.append(random.pick(names), random.pick(TEXTS));
  else if (spoils === 'extra') filled.append(random.pick(TEXTS), random.pick(TEXTS));
  else if (spoils === 'path')
    url = action.replace(/(?<=\/(?:ips|pools)\/)[^/]+/, () => encodeURIComponent(random.pick(SEGMENTS)));
  else if (spoils === 'type')
    headers['content-type'] = random.pick([
      'application/json',
      'text/plain',
      'multipart/form-data; boundary=x',
    ]);
  else if (spoils === 'header') {
    const [name, value] = random.pick(
      HEADERS.filter(([one]) => /^(origin|referer|sec-fetch-site|cookie)$/.test(one)),
    );
    headers[name] = value;
  }
  return { kind: 'form', caller, method: 'POST', url, headers, body: filled.toString() };
}

const goodText = (name: string, random: Random) =>
  /per|burst|count|day/i.test(name)
    ? String(random.int(1, 2_000))
    : random.pick(['', 'a reason', 'marketing', 'UTC']);
