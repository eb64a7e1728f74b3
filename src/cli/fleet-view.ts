/**
 * `warmline` alone on a terminal: the fleet, live. One page is read at a time, so it is the same work for 3 IPs and for
 * 10 000: a list, what each pool on it has used, and every few seconds how many there are.
 */
import { WarmlineError } from '../warmup/errors.ts';
import { STATUSES } from '../warmup/lifecycle.ts';
import type { ExplainAnswer } from '../wire/explain.ts';
import { ApiRefusal, type Client, createClient } from './client.ts';
import { type Counts, type FleetRow, type Frame, frameOf, rowsThatFit } from './fleet-frame.ts';
import type { Ip, Pool } from './ips.ts';
import { namesIp, poolPath } from './named.ts';
import { type Key, openScreen } from './screen.ts';

const REFRESH_MS = 2_000;
/** The API itself counts no more often. */
const COUNT_EVERY_MS = 10_000;

/** Runs until somebody leaves it. @throws WarmlineError when the fleet cannot be read even once */
export async function showFleet(env: NodeJS.ProcessEnv = process.env): Promise<void> {
  const client = createClient({}, env, { quiet: true });
  const reader = createReader(client);
  const size = () => ({ columns: process.stdout.columns || 80, rows: process.stdout.rows || 24 });
  const first = await reader.read({ cursor: null, limit: rowsThatFit(size()), filter: {} });
  await watch(client, reader, first);
}

type Asked = { cursor: string | null; limit: number; filter: Record<string, string> };
type Read = Pick<Frame, 'counts' | 'rows' | 'hasMore'> & { nextCursor: string | null };
type Reader = { read(asked: Asked): Promise<Read>; filterOf(text: string): Promise<Record<string, string>> };

function watch(client: Client, reader: Reader, first: Read): Promise<void> {
  return new Promise((leave, fail) => {
    /** Where each page up to this one begins. */
    let cursors: (string | null)[] = [null];
    let filter: Record<string, string> = {};
    let read = first;
    let shown: Pick<Frame, 'filter' | 'typing' | 'problem'> = { filter: '', typing: null, problem: null };
    let timer: NodeJS.Timeout | undefined;
    /** Only what was asked for last is shown: answers may overtake each other. */
    let asked = 0;

    const screen = openScreen({ onKey: guarded(press), onResize: guarded(refresh), onGone: end });
    const draw = () =>
      screen.draw(frameOf({ ...read, ...shown, url: client.url, page: cursors.length }, screen.size()));

    /** Nothing may go wrong behind a screen that nobody closes. */
    function guarded<Given extends unknown[]>(act: (...given: Given) => unknown) {
      return (...given: Given) =>
        void (async () => act(...given))().catch((error: unknown) => {
          end();
          fail(error);
        });
    }
    function end(): void {
      asked += 1;
      clearTimeout(timer);
      screen.close();
      leave();
    }

    async function refresh(): Promise<void> {
      clearTimeout(timer);
      asked += 1;
      const mine = asked;
      draw();
      const found = await told(() =>
        reader.read({ cursor: cursors.at(-1)!, limit: rowsThatFit(screen.size()), filter }),
      );
      if (mine !== asked) return;
      if (found instanceof WarmlineError) shown = { ...shown, problem: `${found.message}; trying again` };
      else {
        // Of a large fleet a part is looked through at a time: a page without a find begins where that part ended.
        if (found.rows.length === 0 && found.nextCursor !== null) {
          cursors = [...cursors.slice(0, -1), found.nextCursor];
          return refresh();
        }
        read = found;
        shown = { ...shown, problem: null };
      }
      draw();
      timer = setTimeout(guarded(refresh), REFRESH_MS);
    }

    function press(key: Key): unknown {
      if (key.ctrl && (key.name === 'c' || key.name === 'd')) return end();
      if (shown.typing !== null) return type(key, shown.typing);
      if (key.name === 'q') return end();
      if (key.text === '/') {
        shown = { ...shown, typing: '' };
        return draw();
      }
      if (['n', 'right', 'down', 'pagedown', 'space'].includes(key.name ?? '') && read.nextCursor !== null) {
        cursors = [...cursors, read.nextCursor];
        // Pressed twice in a hurry, it goes one page on: where the next one ends is not known yet.
        read = { ...read, nextCursor: null };
        return refresh();
      }
      if (['p', 'left', 'up', 'pageup'].includes(key.name ?? '') && cursors.length > 1) {
        cursors = cursors.slice(0, -1);
        return refresh();
      }
      return undefined;
    }

    async function type({ name, ctrl, text }: Key, typed: string): Promise<void> {
      if (name === 'escape') shown = { ...shown, typing: null };
      else if (name === 'backspace') shown = { ...shown, typing: typed.slice(0, -1) };
      else if (name === 'return' || name === 'enter') {
        shown = { ...shown, typing: null };
        const wanted = await told(() => reader.filterOf(typed.trim()));
        if (wanted instanceof WarmlineError) shown = { ...shown, problem: wanted.message };
        else {
          filter = wanted;
          cursors = [null];
          shown = { ...shown, filter: typed.trim() };
          return refresh();
        }
      } else if (!ctrl && /^[^\p{Cc}]+$/u.test(text)) shown = { ...shown, typing: typed + text };
      draw();
    }

    guarded(refresh)();
  });
}

/** What the API said, also when it said no: then it is shown, and asked again. */
async function told<Answer>(ask: () => Promise<Answer>): Promise<Answer | WarmlineError> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof WarmlineError) return error;
    throw error;
  }
}

type Page = { data: Ip[]; hasMore: boolean; nextCursor: string | null };

function createReader(client: Client): Reader {
  const nameOfPool = rememberPools(client);
  const count = rememberCounts(client);

  return {
    async read({ cursor, limit, filter }) {
      const query = new URLSearchParams({ ...filter, limit: String(limit), ...(cursor && { cursor }) });
      const [{ data: ips, hasMore, nextCursor }, counts] = await Promise.all([
        client.get<Page>(`/v1/dedicated-ips?${query}`),
        count(),
      ]);
      const [used, names] = await Promise.all([
        usedOf(client, ips),
        Promise.all(ips.map(({ poolId }) => (poolId === null ? '' : nameOfPool(poolId)))),
      ]);
      const rows = ips.map((ip, at): FleetRow => {
        const { day = null, hour = null } = used.get(ip.id) ?? {};
        return { ip, pool: names[at]!, day, hour };
      });
      return { rows, hasMore, nextCursor, counts };
    },

    async filterOf(text) {
      if (text === '') return {};
      if ((STATUSES as readonly string[]).includes(text)) return { status: text };
      if (namesIp(text)) return { address: text };
      const pool = await told(() => client.get<Pool>(poolPath(text)));
      return pool instanceof WarmlineError ? { label: text } : { pool: pool.id };
    },
  };
}

/** Days and hours of what may send, a question for each pool; these are not counted against the limit of the key. */
async function usedOf(client: Client, ips: readonly Ip[]) {
  const byPool = new Map<string, Ip[]>();
  for (const ip of ips) {
    if (ip.status !== 'warming' && ip.status !== 'active') continue;
    const whose = ip.poolId ?? ip.id;
    byPool.set(whose, [...(byPool.get(whose) ?? []), ip]);
  }
  const answers = await Promise.all(
    [...byPool.values()].map((some) => {
      const { poolId, id } = some[0]!;
      const asked = poolId === null ? { ip: id } : { pool: poolId, among: some.map((ip) => ip.id) };
      // An IP or a pool that left since the list was read has no bars this time.
      return told(() => client.post<ExplainAnswer>('/v1/quota/explain', asked));
    }),
  );
  const found = answers.flatMap((answer) => (answer instanceof WarmlineError ? [] : answer.ips));
  return new Map(found.map((one) => [one.ipId, one]));
}

/** Names are looked up once; a new one is shown by the next view. */
function rememberPools(client: Client): (id: string) => Promise<string> {
  const names = new Map<string, Promise<string>>();
  return (id) => {
    const known =
      names.get(id) ??
      client.get<Pool>(poolPath(id)).then(
        ({ name }) => name,
        () => {
          names.delete(id);
          return id;
        },
      );
    names.set(id, known);
    return known;
  };
}

/**
 * How many IPs there are by status: from what monitoring is told, which costs the same for any fleet. Only the operator's
 * keys see it, and those are of the account `default`.
 */
function rememberCounts(client: Client): () => Promise<Counts | null> {
  let counts: Counts | null = null;
  let isOperator: boolean | null = null;
  let countedAtMs = Number.NEGATIVE_INFINITY;
  return async () => {
    isOperator ??= !((await told(() => client.get('/v1/accounts?limit=1'))) instanceof ApiRefusal);
    if (!isOperator || performance.now() < countedAtMs + COUNT_EVERY_MS) return counts;
    countedAtMs = performance.now();
    const text = await told(() => client.text('/metrics'));
    if (!(text instanceof WarmlineError)) counts = countsIn(text);
    return counts;
  };
}

function countsIn(metrics: string): Counts | null {
  const lines = metrics.matchAll(/^warmline_ips\{account="default",status="(\w+)"\} (\d+)$/gm);
  const counts = Object.fromEntries([...lines].map(([, status, count]) => [status!, Number(count)]));
  return Object.keys(counts).length > 0 ? counts : null;
}
