/** `/`: every IP of the account, a page at a time, found by address, status, pool or label. */
import type { FastifyRequest } from 'fastify';
import ipaddr from 'ipaddr.js';
import { countIps, pageByAddress } from '../../fleet/by-address.ts';
import { findIpId, loadIp, loadIps } from '../../fleet/change.ts';
import { demandOf, OF_ALL } from '../../fleet/demand.ts';
import type { Tenant } from '../../fleet/engine.ts';
import { accountHold, holdAll, resumeAll } from '../../fleet/hold-all.ts';
import { createIp } from '../../fleet/inventory.ts';
import { pageOfIps } from '../../fleet/ips.ts';
import type { Pool } from '../../fleet/pool.ts';
import { allPools, getPool, membersOf } from '../../fleet/pools.ts';
import { canonicalAddress } from '../../warmup/address.ts';
import { ACCOUNT_SCOPE, type DedicatedIp, type Hold } from '../../warmup/dedicated-ip.ts';
import { WarmlineError } from '../../warmup/errors.ts';
import { STATUSES, type Status } from '../../warmup/lifecycle.ts';
import { labelWanted } from '../../wire/v1.ts';
import { cursorAfter, readCursor } from '../cursor.ts';
import { type Html, html, type Piece } from '../html.ts';
import { demandFigures } from './demand-figures.ts';
import { holdFields, holdOfForm } from './hold-form.ts';
import { confirmation, select, textField } from './layout.ts';
import type { Pages } from './register.ts';
import { ROW_HEAD, rowOf, viewsOf } from './view.ts';
import { counted, grouped, paramsOf, stopsText, time } from './words.ts';

const PER_PAGE = 50;

type Query = { q: string; status: string; pool: string; after: string; before: string };

export function registerFleet({ app, context, sessionOf, show, fieldsOf }: Pages): void {
  app.get('/', async (request, reply) => {
    const session = sessionOf(request);
    const { tenant } = session;
    const query = queryOf(request);
    await context.tellDemand(tenant.account);
    const [found, counts, pools, [wanted], stop] = await Promise.all([
      find(tenant, query),
      countIps(tenant),
      allPools(tenant),
      demandOf(tenant, [OF_ALL]),
      accountHold(tenant),
    ]);
    const views = await viewsOf(context, tenant, found.ips);
    const nameOf = new Map(pools.map(({ id, name }) => [id, name]));
    const isFiltered = query.q !== '' || query.status !== '' || query.pool !== '';
    // A stop of an earlier build is on the IPs alone. It can be pressed again, after a failure in its middle.
    const isStopped =
      stop !== null || views.some(({ ip }) => ip.holds.some(({ scope }) => scope === ACCOUNT_SCOPE));
    const all = Object.values(counts).reduce((sum, one) => sum + one, 0);
    return show(request, reply, {
      title: 'Fleet',
      at: '/',
      scripts: ['live.js'],
      body: html`<div class="head"><h1>Fleet</h1>${session.may('write') && html`<p class="buttons">${isStopped && html`<a class="button" href="/stop/lift">Lift the stop</a> `}${all > 0 && html`<a class="button red" href="/stop">Stop all mail</a>`} <a class="button main" href="/ips/new">Request an IP</a></p>`}</div>
${isStopped && html`<p class="note warn">${stop ? stopText(stop) : 'IPs below are held by a stop of the account that does not hold those that come later; stop again to hold them too.'}</p>`}
<dl class="figures">
<div><dt>IPs</dt><dd>${grouped(all)}</dd></div>
<div><dt>not started</dt><dd>${grouped(counts.provisioning)}</dd></div>
<div><dt>warming</dt><dd>${grouped(counts.warming)}</dd></div>
<div><dt>active</dt><dd>${grouped(counts.active)}</dd></div>
<div><dt>in cooldown</dt><dd>${grouped(counts.cooldown)}</dd></div>
${demandFigures(wanted!)}
</dl>
<form class="filters" method="get" action="/" role="search" aria-label="Find IPs">
${textField('q', 'Address, range, id or label', { value: query.q, type: 'search', placeholder: '203.0.113.' })}
${select('status', 'Status', [['', 'any'], ...STATUSES.filter((one) => one !== 'released').map((one) => [one, one] as const)], query.status)}
${select('pool', 'Pool', [['', 'any'], ...pools.map(({ id, name }) => [id, name] as const)], query.pool)}
<p class="buttons"><button>Find</button>${isFiltered && html` <a class="button" href="/">Show all</a>`}</p>
</form>
${found.note && html`<p class="note">${found.note}</p>`}
${
  views.length === 0
    ? empty(all > 0, isFiltered, session.may('write'))
    : html`<p class="live" data-live hidden role="status"></p>
<div class="wide" role="region" aria-label="IPs" tabindex="0"><table class="rows">${ROW_HEAD}<tbody>
${views.map((view) => rowOf(view, poolNames(view.ip, nameOf)))}</tbody></table></div>`
}
${pager(query, found)}`,
    });
  });

  app.get('/stop', async (request, reply) => {
    const session = sessionOf(request);
    const { provisioning, warming, active } = await countIps(session.tenant);
    return show(request, reply, {
      title: 'Stop all mail of the account',
      at: '/',
      body: confirmation({
        session,
        action: '/stop',
        title: 'Stop all mail of the account',
        happens: [
          `Every IP of the account is held, ${counted(provisioning + warming + active, 'IP')}, one handful after the other: some ten thousand take a few seconds.`,
          'Mail stops for every sender; what was leased before may be sent for one second more.',
          'IPs that come to the account later, or back from cooldown, are under it too, until it is lifted.',
          'Nothing is lost: lift it, and each goes on at the day that it had, unless another hold of its own goes on.',
        ],
        fields: holdFields(),
        button: 'Stop all mail',
        isRed: true,
        back: '/',
      }),
    });
  });

  app.post('/stop', async (request, reply) => {
    const fields = fieldsOf(request);
    await holdAll(sessionOf(request).tenant, holdOfForm(fields));
    return reply.redirect('/?did=stopped', 303);
  });

  app.get('/stop/lift', async (request, reply) =>
    show(request, reply, {
      title: 'Lift the stop of the account',
      at: '/',
      body: confirmation({
        session: sessionOf(request),
        action: '/stop/lift',
        title: 'Lift the stop of the account',
        happens: [
          'Every IP that the stop holds may send again, within the limits of its day.',
          'What is held for itself or with its pool stays held.',
        ],
        button: 'Lift it',
        back: '/',
      }),
    }),
  );

  app.post('/stop/lift', async (request, reply) => {
    fieldsOf(request);
    await resumeAll(sessionOf(request).tenant);
    return reply.redirect('/?did=lifted', 303);
  });

  app.get('/ips/new', async (request, reply) => {
    const session = sessionOf(request);
    return show(request, reply, {
      title: 'Request an IP',
      at: '/',
      body: confirmation({
        session,
        action: '/ips/new',
        title: 'Request an IP',
        happens: [
          'The address that was free longest is taken from the inventory and becomes this account’s own.',
          'It joins the default pool, if there is one with room.',
          'It sends nothing until its warm-up is started.',
        ],
        button: 'Request it',
        back: '/',
      }),
    });
  });

  app.post('/ips/new', async (request, reply) => {
    fieldsOf(request);
    const ip = await createIp(sessionOf(request).tenant);
    return reply.redirect(`/ips/${ip.id}?did=created`, 303);
  });
}

const stopText = ({ sending, advance, because, by, sinceMs, untilMs }: Hold): Html =>
  html`The account is stopped, ${stopsText({ sending, advance })}: ${because}. By ${by} since ${time(sinceMs)}, ${untilMs === null ? 'until somebody lifts it' : html`until ${time(untilMs)}`}; IPs that come later are under it too.`;

export const poolNames = (ip: DedicatedIp, names: ReadonlyMap<string, string>) =>
  ip.pools.map((id) => names.get(id) ?? id).join(', ');

function queryOf(request: FastifyRequest): Query {
  const given = request.query as Record<string, unknown>;
  const text = (name: string) =>
    typeof given[name] === 'string' ? (given[name] as string).trim().slice(0, 300) : '';
  return {
    q: text('q'),
    status: text('status'),
    pool: text('pool'),
    after: text('after'),
    before: text('before'),
  };
}

type Found = { ips: DedicatedIp[]; after: string | null; before: string | null; note?: string };

async function find(tenant: Tenant, { q, status, pool, after, before }: Query): Promise<Found> {
  const isStatus = (value: string): value is Status => (STATUSES as readonly string[]).includes(value);
  const what = searchOf(q);
  const fits = (ip: DedicatedIp) =>
    (!isStatus(status) || ip.status === status) && what.fits(ip) && (pool === '' || ip.pools.includes(pool));

  if (what.one !== null) {
    const ip = await oneNamed(tenant, what.one);
    return { ips: ip && fits(ip) ? [ip] : [], after: null, before: null };
  }
  // A pool has few IPs.
  if (pool !== '') {
    const one = await poolOrNone(tenant, pool);
    const ips = one ? await loadIps(tenant, await membersOf(tenant, one.id)) : [];
    return { ips: ips.filter(fits), after: null, before: null };
  }
  // Those in cooldown have left the list by address; they are found by their creation.
  if (status === 'cooldown') {
    const page = await pageOfIps(tenant, {
      limit: PER_PAGE,
      after: after === '' ? null : readCursor(after),
      wanted: (ip) => fits(ip) && (what.within === null || isWithin(ip.address, what.within)),
    });
    return {
      ips: page.ips,
      after: page.next && cursorAfter(page.next.atMs, page.next.id),
      before: null,
      ...shortNote(page.ips, page.next !== null),
    };
  }
  const page = await pageByAddress(tenant, {
    limit: PER_PAGE,
    after: after === '' ? null : canonicalAddress(after, 'after'),
    before: before === '' ? null : canonicalAddress(before, 'before'),
    within: what.within,
    inStatus: status === 'warming' || status === 'provisioning' ? status : null,
    wanted: fits,
  });
  return {
    ips: page.ips,
    after: page.afterKey,
    before: page.beforeKey,
    ...shortNote(page.ips, page.afterKey !== null),
  };
}

const shortNote = (ips: readonly DedicatedIp[], hasMore: boolean) =>
  hasMore && ips.length < PER_PAGE
    ? {
        note: `Among the 1,000 IPs that were looked at, ${ips.length === 0 ? 'none fits' : `${counted(ips.length, 'IP')} fit`}. There are more: go on.`,
      }
    : {};

async function oneNamed(tenant: Tenant, named: string): Promise<DedicatedIp | null> {
  try {
    return await loadIp(tenant, await findIpId(tenant, named));
  } catch (error) {
    if (error instanceof WarmlineError && error.code === 'not_found') return null;
    throw error;
  }
}

async function poolOrNone(tenant: Tenant, pool: string): Promise<Pool | null> {
  try {
    return await getPool(tenant, pool);
  } catch (error) {
    if (error instanceof WarmlineError && error.code === 'not_found') return null;
    throw error;
  }
}

type Search = {
  /** One IP, by id or address. */
  one: string | null;
  /** From the first to the last of these addresses. */
  within: [string, string] | null;
  fits(ip: DedicatedIp): boolean;
};

const any = () => true;

/** `203.0.113.7`, `ip_...`, `203.0.113.`, `203.0.113.0/28`, `2001:db8:`, `team:billing`. */
export function searchOf(q: string): Search {
  if (q === '') return { one: null, within: null, fits: any };
  if (/^ip_[0-9a-z]{1,64}$/i.test(q)) return { one: q.toLowerCase(), within: null, fits: any };
  if (ipaddr.isValidCIDR(q)) {
    const family = q.includes(':') ? ipaddr.IPv6 : ipaddr.IPv4;
    const last =
      family === ipaddr.IPv4
        ? ipaddr.IPv4.broadcastAddressFromCIDR(q)
        : ipaddr.IPv6.broadcastAddressFromCIDR(q);
    return { one: null, within: [family.networkAddressFromCIDR(q).toString(), last.toString()], fits: any };
  }
  const octets = /^(\d{1,3}(?:\.\d{1,3}){0,2})\.?$/.exec(q)?.[1]?.split('.').map(Number);
  if (octets?.every((one) => one <= 255)) {
    const padded = (filler: number) => [...octets, filler, filler, filler].slice(0, 4).join('.');
    return { one: null, within: [padded(0), padded(255)], fits: any };
  }
  const groups = /^((?:[0-9a-f]{1,4}:){1,7})$/i.exec(q)?.[1]?.slice(0, -1).split(':');
  if (groups) {
    const padded = (filler: string) =>
      ipaddr.parse([...groups, ...Array(8 - groups.length).fill(filler)].join(':')).toString();
    return { one: null, within: [padded('0'), padded('ffff')], fits: any };
  }
  if (ipaddr.isValid(q)) return { one: canonicalAddress(q, 'q'), within: null, fits: any };
  const hasLabel = labelWanted(q);
  return {
    one: null,
    within: null,
    fits: ({ labels, hostname }) => hasLabel(labels) || hostname === q.toLowerCase(),
  };
}

function isWithin(address: string, [first, last]: readonly [string, string]): boolean {
  const [a, from, to] = [address, first, last].map((one) => ipaddr.parse(one).toByteArray());
  if (a!.length !== from!.length) return false;
  const compare = (x: number[], y: number[]) => Buffer.compare(Buffer.from(x), Buffer.from(y));
  return compare(a!, from!) >= 0 && compare(a!, to!) <= 0;
}

function pager(query: Query, { after, before }: Found): Piece {
  const link = (name: 'after' | 'before', value: string) => {
    const { q, status, pool } = query;
    const params = Object.entries({ q, status, pool, [name]: value }).filter(([, one]) => one !== '');
    return `/?${paramsOf(Object.fromEntries(params))}`;
  };
  if (after === null && before === null) return null;
  return html`<nav class="pager" aria-label="Pages of the list">
${before !== null && html`<a class="button" rel="prev" href="${link('before', before)}">Before</a>`}
${after !== null && html`<a class="button" rel="next" href="${link('after', after)}">Next</a>`}
</nav>`;
}

function empty(hasIps: boolean, isFiltered: boolean, mayWrite: boolean): Html {
  if (isFiltered) {
    return html`<div class="card empty"><h2>No IP fits</h2><p>An address is found by its beginning (<code>203.0.113.</code>), by a range (<code>203.0.113.0/28</code>), or whole; an IP also by its id or a label (<code>team:billing</code>).</p></div>`;
  }
  if (hasIps)
    return html`<div class="card empty"><h2>Nothing on this page</h2><p><a href="/">Begin from the first IP</a>.</p></div>`;
  return html`<div class="card empty"><h2>No IP yet</h2>
<p>IPs come from the inventory of the operator: <code>warmline inventory add 203.0.113.0/28</code> puts addresses there.</p>
${mayWrite ? html`<p class="buttons"><a class="button main" href="/ips/new">Request an IP</a></p>` : html`<p>Whoever has a key with the scope <code>write</code> can request one.</p>`}</div>`;
}
