/**
 * Everybody who comes over HTTP: senders with batches of takes, people who look, a dashboard, a Prometheus, and a customer
 * whose IPs are created, warmed, held, resumed and released again.
 */
import { once } from 'node:events';
import { Agent, type IncomingMessage, request as send } from 'node:http';
import { answerParent } from '../../../bench/processes.ts';
import { asList, noteGrant, noteRefund, openBooks } from '../books.ts';
import type { Targets } from '../fleet.ts';
import { type Pace, type Pacer, startPacer } from '../pace.ts';
import { startWatch } from '../watch.ts';

type Question =
  | { todo: 'open'; url: string; adminKey: string; targets: Targets[]; pace: Pace; livesPerSecond: number }
  | { todo: 'pace'; pace: Pace }
  | { todo: 'look'; collect?: boolean }
  | { todo: 'close' };

/** Takes in a batch, and how often what costs more than a look is asked for. */
const [BATCH, EXPLAIN_EVERY, FLEET_EVERY, METRICS_EVERY] = [50, 4, 4, 20];

const watch = startWatch(['takes', 'requests']);
const books = openBooks();
const agent = new Agent({ keepAlive: true });
let url: string;
let cookie: string;
let pacer: Pacer;
let lives: Pacer;
let turn = 0;
let [created, released] = [0, 0];

answerParent(async (question: Question) => {
  if (question.todo === 'open') return open(question);
  if (question.todo === 'pace') return pacer.set(question.pace);
  if (question.todo === 'look')
    return { ...watch.look(question.collect === true), rounds: pacer.rounds, lateMs: pacer.lateMs() };
  await Promise.all([pacer.stop(), lives.stop()]);
  agent.destroy();
  return { books: asList(books), created, released };
});

async function open(question: Question & { todo: 'open' }): Promise<void> {
  url = question.url;
  const form = new URLSearchParams({ key: question.adminKey }).toString();
  const signedIn = await call('POST', '/sign-in', { 'content-type': FORM, origin: url }, form);
  cookie = String(signedIn.headers['set-cookie']).split(';')[0]!;
  pacer = startPacer(() => round(question.targets, question.adminKey), question.pace);
  lives = startPacer(() => live(question.targets[0]!), { perSecond: question.livesPerSecond });
}

const FORM = 'application/x-www-form-urlencoded';
// biome-ignore lint/suspicious/noExplicitAny: each caller knows the fields that it looks at
type Answer = { status: number; headers: IncomingMessage['headers']; body: any };

async function call(
  method: string,
  path: string,
  headers: Record<string, string>,
  text = '',
): Promise<Answer> {
  const asked = send(url + path, {
    agent,
    method,
    headers: { ...headers, 'content-length': Buffer.byteLength(text) },
  });
  asked.end(text);
  const [answer] = (await once(asked, 'response')) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk);
  const said = Buffer.concat(chunks).toString();
  const isJson = answer.headers['content-type']?.startsWith('application/json');
  return {
    status: answer.statusCode!,
    headers: answer.headers,
    body: isJson && said ? JSON.parse(said) : said,
  };
}

async function ask(
  kind: string,
  key: string,
  method: string,
  path: string,
  body?: object,
  more = {},
): Promise<Answer | null> {
  const json = body === undefined ? {} : { 'content-type': 'application/json' };
  const text = body === undefined ? '' : JSON.stringify(body);
  const what = `${method} ${path.split('?', 1)[0]}`;
  const answer = await watch.timed(kind, what, () =>
    call(method, path, { authorization: `Bearer ${key}`, ...json, ...more }, text),
  );
  if (answer === null || answer.status < 400) return answer;
  // Explanations wait for each other, and on a slow machine the last one is told to come back later.
  if (answer.status === 503 && path === '/v1/quota/explain') {
    watch.count('told to come back');
    return null;
  }
  watch.failed(what, `${answer.status} ${JSON.stringify(answer.body).slice(0, 200)}`);
  return null;
}

const oneOf = <T>(list: readonly T[]): T => list[Math.floor(Math.random() * list.length)]!;

async function round(all: readonly Targets[], adminKey: string): Promise<void> {
  turn += 1;
  const targets = oneOf(all);
  const { apiKey, single, tight, pools } = targets;
  const get = (path: string) => ask('requests', apiKey, 'GET', path);
  const some = oneOf(single);
  await takeBatch(targets);
  await get('/v1/dedicated-ips?limit=50');
  await get(`/v1/dedicated-ips/${some.ipId}`);
  await get(`/v1/dedicated-ips/${some.ipId}/quota`);
  await get('/v1/changes?limit=20');
  if (turn % EXPLAIN_EVERY === 0) {
    const about = turn % (2 * EXPLAIN_EVERY) === 0 ? { ip: oneOf(tight).address } : { pool: oneOf(pools) };
    await ask('requests', apiKey, 'POST', '/v1/quota/explain', about);
  }
  if (turn % FLEET_EVERY === 0) await page('/');
  if (turn % METRICS_EVERY === 0) await ask('requests', adminKey, 'GET', '/metrics');
}

async function page(path: string): Promise<void> {
  const answer = await watch.timed('requests', `GET ${path}`, () => call('GET', path, { cookie }));
  if (answer && answer.status !== 200) watch.failed(`GET ${path}`, answer.status);
}

async function takeBatch({ apiKey, single, pools }: Targets): Promise<void> {
  const takes = Array.from({ length: BATCH }, (_, index) =>
    index % 5 === 0 ? { pool: oneOf(pools), count: 2 } : { ip: oneOf(single).address },
  );
  const answer = await ask('takes', apiKey, 'POST', '/v1/quota/take', { takes });
  const receipts: string[] = [];
  for (const { granted = [], error } of answer?.body.answers ?? []) {
    if (error) watch.failed('one take of many', JSON.stringify(error));
    watch.count(granted.length > 0 ? 'granted' : 'denied');
    for (const grant of granted) {
      noteGrant(books, grant);
      receipts.push(grant.receipt);
    }
  }
  if (receipts.length === 0) return;
  const receipt = receipts[0]!;
  const refunded = await ask('takes', apiKey, 'POST', '/v1/quota/refund', { refunds: [{ receipt }] });
  if (refunded) noteRefund(books, receipt, refunded.body.refunded, Date.now());
}

/** The life of an IP, with a look at each turn whether it gives mail as it should. */
async function live({ apiKey }: Targets): Promise<void> {
  const key = { 'idempotency-key': `life-${process.pid}-${Math.random()}` };
  const answer = await ask('requests', apiKey, 'POST', '/v1/dedicated-ips', undefined, key);
  if (!answer) return;
  const { id } = answer.body;
  const path = `/v1/dedicated-ips/${id}`;
  created += 1;
  await gives(apiKey, id, false);
  await ask('requests', apiKey, 'POST', `${path}/warmup`);
  await gives(apiKey, id, true);
  await ask('requests', apiKey, 'POST', `${path}/hold`, { because: 'load', sending: true });
  await gives(apiKey, id, false);
  await ask('requests', apiKey, 'DELETE', `${path}/hold`);
  await gives(apiKey, id, true);
  await ask('requests', apiKey, 'DELETE', path);
  await gives(apiKey, id, false);
  released += 1;
}

async function gives(apiKey: string, ip: string, wanted: boolean): Promise<void> {
  const answer = await ask('takes', apiKey, 'POST', '/v1/quota/take', { ip });
  if (answer && answer.body.allowed !== wanted)
    watch.failed(
      'take',
      `${ip} was ${wanted ? 'denied' : 'granted'} a send: ${JSON.stringify(answer.body.because)}`,
    );
}
