/** One fuzz run: draws requests, sends them, looks at every answer, and says what it found. */
import { describedBy } from '../http/described.ts';
import { faultsOf, faultsOfLog } from './checks.ts';
import { inTime } from './in-time.ts';
import { growthBetween, type Measured, measure } from './memory.ts';
import { type Browser, openBrowser } from './pages.ts';
import { type Random, randomFrom } from './random.ts';
import { remember } from './remember.ts';
import {
  drawCaller,
  drawRoute,
  hostileRequest,
  hostileUrl,
  type Kind,
  nearlyValid,
  type Request,
  type Route,
  routesIn,
  validRequest,
  worldOf,
} from './requests.ts';
import { asCommand, asText, type Drawn, isLive, movesClock, send } from './send.ts';
import { asSent, BREAKS, bytesOf } from './socket.ts';
import { openStage, type Stage } from './stage.ts';
import type { World } from './values.ts';

export type Finding = { at: number; what: string; request: string; answer: string };

export type Report = {
  seed: number;
  requests: number;
  findings: Finding[];
  /** How many of each kind, of each class of answers, and of each status; `none`: the connection ended without one. */
  byKind: Record<string, number>;
  byClass: Record<string, number>;
  byStatus: Record<string, number>;
  /** After a tenth of the run, and at its end. */
  before: Measured;
  after: Measured;
  slowest: { ms: number; request: string };
  seconds: number;
};

export type Run = {
  requests: number;
  seed: number;
  /** So many requests are under way at the same time; with 1 each is answered before the next is drawn. */
  atOnce?: number;
  progress?: (done: number, findings: number) => void;
  /** Is told of each finding at once. */
  onFinding?: (finding: Finding) => void;
  /** Ends the run early, with what it has seen. */
  signal?: AbortSignal;
};

const KINDS: Record<Kind, number> = { valid: 30, nearly: 28, hostile: 12, page: 8, form: 8, socket: 14 };
/** The other account is looked at so often, and before and after each move of the clock. */
const OTHER_EVERY = 500;
/** After these a run has said enough; and the same mistake is told so often. */
const MOST_FINDINGS = 50;
const MOST_ALIKE = 2;
/** One in so many requests is sent four times at once. */
const CROWD = 0.02;
/** In a run this long, a tenth has filled what fills. */
const LONG_RUN = 20_000;

export async function fuzz(run: Run): Promise<Report> {
  const stage = await openStage();
  const uncaught: string[] = [];
  const onRejection = (reason: unknown) => void uncaught.push(`a rejection that nobody handled: ${reason}`);
  const onException = (error: Error) => void uncaught.push(`an exception that nobody caught: ${error.stack}`);
  process.on('unhandledRejection', onRejection).on('uncaughtException', onException);
  try {
    return await play(stage, uncaught, run);
  } finally {
    await stage.stop();
    process.off('unhandledRejection', onRejection).off('uncaughtException', onException);
  }
}

async function play(
  stage: Stage,
  uncaught: string[],
  { requests, seed, atOnce = 16, progress = () => {}, onFinding = () => {}, signal }: Run,
): Promise<Report> {
  const begunMs = performance.now();
  const clock = { nowMs: await stage.fleet.now() };
  const draw = await artist(stage, randomFrom(seed), clock);
  const findings: Finding[] = [];
  const alike = new Map<string, number>();
  const counts = { byKind: {}, byClass: {}, byStatus: {} };
  let slowest = { ms: 0, request: '' };
  let other = await stage.dumpOfOther();
  let lookedAt = 0;
  let before = await measure(stage);

  function find(at: number, what: string, request: string, answer = ''): void {
    const kind = what.replace(/[0-9a-f]{6,}|\d+|"[^"]*"/g, '#').slice(0, 120);
    const count = (alike.get(kind) ?? 0) + 1;
    alike.set(kind, count);
    if (count > MOST_ALIKE) return;
    findings.push({ at, what, request, answer });
    onFinding(findings.at(-1)!);
  }

  async function lookAtOther(at: number): Promise<void> {
    const now = await stage.dumpOfOther();
    const names = new Set([...Object.keys(now), ...Object.keys(other)]);
    const changed = [...names].filter((name) => now[name] !== other[name]);
    if (changed.length > 0)
      find(at, `the other account has changed: ${changed.join(', ')}`, `one since #${lookedAt}`);
    lookedAt = at;
    other = now;
  }

  async function sendAll(batch: readonly Drawn[]): Promise<void> {
    const sent = await Promise.all(batch.map((drawn) => send(stage, drawn)));
    for (const [index, { answers, ms, silence }] of sent.entries()) {
      const drawn = batch[index]!;
      const { at, request } = drawn;
      count(counts.byKind, request.kind);
      if (ms > slowest.ms && !drawn.bytes)
        slowest = { ms: Math.round(ms), request: asCommand(stage, drawn).slice(0, 500) };
      for (const answer of answers) {
        count(counts.byStatus, String(answer.status || 'none'));
        count(counts.byClass, answer.status ? `${Math.floor(answer.status / 100)}xx` : 'none');
        for (const what of await faultsOf(stage, request, answer))
          find(at, what, asCommand(stage, drawn), asText(answer));
        if (answer.status < 300) remember(stage, request, answer.body);
      }
      if (silence) find(at, silence, asCommand(stage, drawn));
      if (answers.length === 0) count(counts.byClass, 'none');
    }
    const commands = () => batch.map((drawn) => asCommand(stage, drawn)).join('\n');
    for (const what of faultsOfLog(stage, stage.takeLog())) find(batch[0]!.at, what, commands());
    for (const what of uncaught.splice(0)) find(batch[0]!.at, what, commands());
  }

  let at = 0;
  while (at < requests && findings.length < MOST_FINDINGS && !signal?.aborted) {
    const done = at;
    const batch: Drawn[] = [];
    let alone: Drawn | null = null;
    while (batch.length < atOnce && at < requests && !alone) {
      at += 1;
      const drawn = await draw(at);
      if (movesClock(drawn.request)) alone = drawn;
      else batch.push(drawn);
    }
    if (batch.length > 0) await sendAll(batch);
    if (alone) {
      // Time goes on for the other account, too: what changes there then is the worker's doing.
      await lookAtOther(at);
      await sendAll([alone]);
      await whenClockStands(stage);
      other = await stage.dumpOfOther();
      lookedAt = at;
      clock.nowMs = await stage.fleet.now();
    }
    if (crossed(done, at, OTHER_EVERY)) await lookAtOther(at);
    if (crossed(done, at, Math.ceil(requests / 10))) {
      if (done < Math.ceil(requests / 10)) before = await measure(stage);
    }
    if (crossed(done, at, 250) || at === requests) progress(at, findings.length);
  }
  await lookAtOther(at);
  const after = await measure(stage);
  if (at >= LONG_RUN) for (const what of growthBetween(before, after, at)) find(at, what, 'all of them');
  const seconds = Math.round((performance.now() - begunMs) / 1000);
  return { seed, requests: at, findings, ...counts, before, after, slowest, seconds };
}

const crossed = (from: number, to: number, step: number) => Math.floor(from / step) < Math.floor(to / step);

function count(counts: Record<string, number>, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1;
}

/** Whoever is hung up on goes on behind his back; moves of the clock wait for each other, so the end of this one is the end of all. */
const whenClockStands = ({ app, keys }: Stage) =>
  inTime(
    'POST /v1/test-clock/advance by PT0S, behind those that were drawn,',
    app.inject({
      ...{ method: 'POST', url: '/v1/test-clock/advance', payload: { by: 'PT0S' } },
      headers: { authorization: `Bearer ${keys.operator}` },
    }),
  );

// ---- what comes next

async function artist(
  stage: Stage,
  random: Random,
  clock: { nowMs: number },
): Promise<(at: number) => Promise<Drawn>> {
  const { document } = await describedBy(stage.app);
  const routes = routesIn(document);
  const browser = await openBrowser(stage);
  return async (at) => {
    const route = drawRoute(routes, random);
    const caller = drawCaller(route, random);
    const world = worldOf(stage, caller, random, document.components.schemas, clock.nowMs);
    const kind = random.weighed(KINDS);
    if (kind === 'socket') {
      const request = socketRequest(stage, route, caller, world);
      const how = random.pick(BREAKS);
      const bytes = bytesOf(request, how, random);
      return { at, request: asSent(request, bytes), times: 1, bytes: { how, bytes } };
    }
    const request = await MAKERS[kind]({ stage, route, caller, world, browser });
    return {
      ...{ at, request, times: random.chance(CROWD) ? 4 : 1 },
      ...(isLive(request) ? { bytes: { how: 'plain', bytes: bytesOf(request, 'plain', random) } } : {}),
    };
  };
}

type Given = { stage: Stage; route: Route; caller: Request['caller']; world: World; browser: Browser };

const MAKERS: Record<Exclude<Kind, 'socket'>, (given: Given) => Request | Promise<Request>> = {
  valid: ({ stage, route, caller, world }) => validRequest(stage, route, caller, world),
  nearly: ({ stage, route, caller, world }) => nearlyValid(stage, route, caller, world),
  hostile: ({ stage, route, caller, world }) => hostileRequest(stage, route, caller, world),
  page: ({ browser, world }) => browser.page(world),
  form: async ({ browser, world }) => (await browser.form(world)) ?? browser.page(world),
};

function socketRequest(stage: Stage, route: Route, caller: Request['caller'], world: World): Request {
  const { random } = world;
  const request = (random.chance(0.5) ? validRequest : nearlyValid)(stage, route, caller, world);
  return { ...request, kind: 'socket', url: random.chance(0.6) ? hostileUrl(route, world) : request.url };
}
