/**
 * `/live`: what moves, as server-sent events. All who watch an account are told by one look at Redis a second, however many
 * they are; a page is told only of what has changed on it. Connections are bounded, so that a forgotten wall of screens
 * costs nobody a send.
 */
import type { ServerResponse } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { loadIps } from '../../fleet/change.ts';
import type { Tenant } from '../../fleet/engine.ts';
import type { Context } from '../context.ts';
import type { Pages } from './register.ts';
import { readSession } from './sessions.ts';
import { cellsOf, viewsOf } from './view.ts';

const LOOKS_EVERY_MS = 1_000;
/** Proxies close what is silent; a session that has ended is noticed at the same time. */
const HEARTBEAT_MS = 5_000;
const MOST_WATCHERS = 200;
const MOST_WATCHERS_OF_ACCOUNT = 50;
/** As many as a page shows at most: the IPs of a pool. */
const MOST_IPS = 100;
/** Of all pages of an account together. */
const MOST_IPS_OF_ACCOUNT = 500;

type Watcher = {
  stream: ServerResponse;
  sessionHash: string;
  ipIds: readonly string[];
  /** By IP, what this page was told last. */
  told: Map<string, string>;
};

type House = { tenant: Tenant; watchers: Set<Watcher>; isLooking: boolean; timer: NodeJS.Timeout };

export function registerLive({ app, context, sessionOf }: Pages): void {
  const hub = createHub(app, context);

  app.get<{ Querystring: { ips?: unknown } }>(
    '/live',
    { config: { quiet: true }, exposeHeadRoute: false },
    async (request, reply) => {
      const { tenant, idHash } = sessionOf(request);
      const { ips } = request.query;
      const ipIds =
        typeof ips === 'string' ? ips.split(',').filter((id) => /^ip_[0-9a-z]{1,64}$/.test(id)) : [];
      // To a browser 204 says not to come again; the page stays as it is, and a reload shows what is new.
      if (ipIds.length === 0 || !hub.hasRoom(tenant)) return reply.code(204).send();
      reply.hijack();
      // Whoever has left meanwhile is never heard to leave, and would keep a place for good.
      if (reply.raw.destroyed) return reply;
      const headers = {
        ...reply.getHeaders(),
        'content-type': 'text/event-stream',
        'x-accel-buffering': 'no',
      };
      reply.raw.writeHead(200, headers as Record<string, string>);
      hub.watch(tenant, {
        stream: reply.raw,
        sessionHash: idHash,
        ipIds: ipIds.slice(0, MOST_IPS),
        told: new Map(),
      });
      return reply;
    },
  );
}

function createHub(app: FastifyInstance, context: Context) {
  const houses = new Map<string, House>();
  let watchers = 0;

  function leave(house: House, watcher: Watcher): void {
    if (!house.watchers.delete(watcher)) return;
    watchers -= 1;
    if (house.watchers.size > 0) return;
    clearInterval(house.timer);
    houses.delete(house.tenant.account.id);
  }

  async function look(house: House): Promise<void> {
    // A Redis that is slow is not asked twice.
    if (house.isLooking) return;
    house.isLooking = true;
    try {
      const wanted = new Set<string>();
      for (const { ipIds } of house.watchers) {
        for (const id of ipIds) if (wanted.size < MOST_IPS_OF_ACCOUNT) wanted.add(id);
      }
      const views = await viewsOf(context, house.tenant, await loadIps(house.tenant, [...wanted]));
      const cells = new Map(views.map((view) => [view.ip.id, textOf(cellsOf(view))]));
      for (const watcher of house.watchers) tell(watcher, cells);
    } catch {
      // Redis is out: the pages say so themselves when they hear nothing.
      for (const { stream } of house.watchers) stream.write('event: out\ndata: {}\n\n');
    } finally {
      house.isLooking = false;
    }
  }

  function watch(tenant: Tenant, watcher: Watcher): void {
    const { id } = tenant.account;
    let house = houses.get(id);
    if (!house) {
      const fresh: House = {
        tenant,
        watchers: new Set(),
        isLooking: false,
        timer: setInterval(() => void look(fresh), LOOKS_EVERY_MS).unref(),
      };
      house = fresh;
      houses.set(id, fresh);
    }
    const own = house;
    own.watchers.add(watcher);
    watchers += 1;
    watcher.stream.on('close', () => leave(own, watcher));
    watcher.stream.write('retry: 3000\n\n');
    void look(own);
  }

  const heartbeat = setInterval(async () => {
    for (const house of houses.values()) {
      for (const watcher of house.watchers) {
        const session = await readSession(context.engine, watcher.sessionHash).catch(() => undefined);
        if (session === null) watcher.stream.end('event: over\ndata: {}\n\n');
        else watcher.stream.write(': still here\n\n');
      }
    }
  }, HEARTBEAT_MS).unref();

  app.addHook('preClose', async () => {
    clearInterval(heartbeat);
    for (const house of [...houses.values()]) {
      clearInterval(house.timer);
      for (const { stream } of house.watchers) stream.end();
    }
  });

  return {
    hasRoom: ({ account }: Tenant) =>
      watchers < MOST_WATCHERS && (houses.get(account.id)?.watchers.size ?? 0) < MOST_WATCHERS_OF_ACCOUNT,
    watch,
  };
}

const textOf = (cells: ReturnType<typeof cellsOf>) =>
  JSON.stringify(Object.fromEntries(Object.entries(cells).map(([name, { text }]) => [name, text])));

/** A page that does not read what it is told is told no more until it has. */
const MOST_UNREAD = 256 * 1024;

function tell({ stream, ipIds, told }: Watcher, cells: ReadonlyMap<string, string>): void {
  if (stream.writableLength > MOST_UNREAD) return;
  for (const id of ipIds) {
    const text = cells.get(id);
    if (text === undefined || told.get(id) === text) continue;
    told.set(id, text);
    stream.write(`event: ip\ndata: {"id":"${id}","cells":${text}}\n\n`);
  }
}
