/** `/pools`: names for groups of IPs: who is in them, what they sent, what went beyond the warming ones, and the red button. */
import { findIpId, loadIps } from '../../fleet/change.ts';
import { type Demand, demandOf } from '../../fleet/demand.ts';
import { nowIn, type Tenant } from '../../fleet/engine.ts';
import type { Pool } from '../../fleet/pool.ts';
import {
  createPool,
  deletePool,
  describePool,
  getPool,
  holdPool,
  listPools,
  membersOf,
  moveIpToPool,
  type PoolDescription,
  removeIpFromPool,
  resumePool,
  updatePool,
} from '../../fleet/pools.ts';
import { canonicalAddress } from '../../warmup/address.ts';
import { isHeld } from '../../warmup/progress.ts';
import { sumOf } from '../../wire/quota.ts';
import { type Html, html, type Piece } from '../html.ts';
import { ipNamed } from '../v1/named.ts';
import { demandFigures } from './demand-figures.ts';
import { holdFields, holdOfForm } from './hold-form.ts';
import { confirmation, textField, token } from './layout.ts';
import type { Pages } from './register.ts';
import { type IpView, ROW_HEAD, rowOf, viewsOf } from './view.ts';
import { bar, CODES, counted, grouped, lengthText, paramsOf, percent, time, usedText } from './words.ts';

export function registerPoolPages(pages: Pages): void {
  const { app, context, sessionOf, show } = pages;

  app.get('/pools', async (request, reply) => {
    const session = sessionOf(request);
    const { tenant } = session;
    await context.tellDemand(tenant.account);
    const pools = await listPools(tenant);
    const demands = await demandOf(
      tenant,
      pools.map(({ id }) => id),
    );
    return show(request, reply, {
      title: 'Pools',
      at: '/pools',
      body: html`<div class="head"><h1>Pools</h1>${session.may('write') && html`<a class="button main" href="/pools/new">Create a pool</a>`}</div>
${
  pools.length === 0
    ? html`<div class="card empty"><h2>No pool yet</h2><p>A pool is a name for IPs that send one kind of mail, so that one kind does not harm another. Without one, mail that names no pool goes out by any IP of the account.</p></div>`
    : html`<div class="wide" role="region" aria-label="Pools" tabindex="0"><table class="rows"><thead><tr><th scope="col">Pool</th><th scope="col">IPs</th><th scope="col">Warming share</th><th scope="col">Ceiling</th><th scope="col">Wanted lately</th><th scope="col">State</th></tr></thead><tbody>
${pools.map(
  (
    pool,
    index,
  ) => html`<tr><th scope="row"><a href="/pools/${pool.id}">${pool.name}</a>${pool.isDefault && html` <span class="badge">default</span>`}</th><td data-label="IPs">${grouped(pool.ipCount)}</td><td data-label="Warming share">${percent(pool.warmingShare)}</td><td data-label="Ceiling">${ceilingText(pool)}</td><td data-label="Wanted lately">${wantedText(demands[index]!)}</td><td data-label="State">${pool.hold ? html`<span class="badge held">held</span> ${pool.hold.because}` : 'open'}</td></tr>
`,
)}</tbody></table></div>`
}`,
    });
  });

  app.get('/pools/new', async (request, reply) => {
    const session = sessionOf(request);
    return show(request, reply, {
      title: 'Create a pool',
      at: '/pools',
      body: confirmation({
        session,
        action: '/pools/new',
        title: 'Create a pool',
        happens: [
          'A pool without IPs is made; IPs are put into it on its page.',
          'Senders name it in each take, and mail then goes out by its IPs alone.',
          'As the default, it also gets the mail that names no pool, and new IPs join it.',
        ],
        fields: html`${textField('name', 'Name', { isRequired: true })}
<p class="check"><input id="f-isDefault" type="checkbox" name="isDefault" value="yes"> <label for="f-isDefault">Make it the default pool</label></p>`,
        button: 'Create it',
        back: '/pools',
      }),
    });
  });

  app.post('/pools/new', async (request, reply) => {
    const { name = '', isDefault } = pages.fieldsOf(request);
    const pool = await createPool(sessionOf(request).tenant, { name, isDefault: isDefault === 'yes' });
    return reply.redirect(`/pools/${pool.id}?did=pool`, 303);
  });

  app.get<{ Params: { id: string } }>('/pools/:id', async (request, reply) => {
    const session = sessionOf(request);
    const { tenant } = session;
    const pool = await describePool(tenant, await getPool(tenant, request.params.id));
    await context.tellDemand(tenant.account);
    const [[wanted], nowMs, views, next] = await Promise.all([
      demandOf(tenant, [pool.id]),
      nowIn(tenant),
      membersOf(tenant, pool.id).then(async (ids) => viewsOf(context, tenant, await loadIps(tenant, ids))),
      context.limiterOf(tenant.account).peek({ pool: pool.id }),
    ]);
    const mayWrite = session.may('write');
    const sums = sumOf(views.map(({ quota }) => quota));
    const held = pool.hold && isHeld(pool.hold, nowMs) ? pool.hold : null;
    return show(request, reply, {
      title: pool.name,
      at: '/pools',
      scripts: ['live.js'],
      body: html`<p class="crumbs"><a href="/pools">Pools</a></p>
<div class="head"><h1>${pool.name}</h1><p>${pool.isDefault && html`<span class="badge">default</span> `}${held && html`<span class="badge held">held</span>`}</p></div>
<p class="standing">${
        next.allowed
          ? html`<span class="good">Sends now</span>`
          : html`<span class="bad">Denied now</span>: ${views.length === 0 ? 'it has no IP' : (CODES[next.because?.code ?? ''] ?? 'no IP has room')}${next.retryAfterMs !== null && html`; again in ${lengthText(next.retryAfterMs)}`}`
      } <a href="/held?${paramsOf({ of: pool.id })}#explain">Explain</a></p>
${held && html`<p class="note warn">Held by ${held.by} since ${time(held.sinceMs)}: ${held.because}.</p>`}
<dl class="figures wide-figures">
<div><dt>all IPs, today</dt><dd>${bar(sums.day)}<span class="num">${usedText(sums.day)}</span></dd></div>
<div><dt>all IPs, this hour</dt><dd>${bar(sums.hour)}<span class="num">${usedText(sums.hour)}</span></dd></div>
${carriedFigures(views)}
<div><dt>full volume on</dt><dd>${fullVolume(views)}</dd></div>
<div><dt>warming share</dt><dd>${percent(pool.warmingShare)}</dd></div>
<div><dt>ceiling</dt><dd>${ceilingText(pool)}</dd></div>
${demandFigures(wanted!)}
</dl>
${mayWrite && poolButtons(pool, held !== null)}
<h2>Its IPs</h2>
<p class="live" data-live hidden role="status"></p>
${
  views.length === 0
    ? html`<div class="card empty"><h2>No IP in it</h2><p>Mail that names this pool is denied until there is one.</p></div>`
    : html`<div class="wide" role="region" aria-label="IPs of the pool" tabindex="0"><table class="rows">${ROW_HEAD}<tbody>
${views.map((view) => rowOf(view, null))}</tbody></table></div>`
}
${
  mayWrite &&
  html`<div class="columns">
<form class="card" method="post" action="/pools/${pool.id}/add"><h2>Put an IP into it</h2>${token(session)}
<p>It leaves its other pools${held && ', and is held with this one'}.</p>
${textField('ip', 'Address or id', { isRequired: true })}<p class="buttons"><button>Put it in</button></p></form>
${
  views.length > 0 &&
  html`<form class="card" method="post" action="/pools/${pool.id}/remove"><h2>Take an IP out</h2>${token(session)}
<p>It stays on the account and goes on with its warm-up; mail of this pool does not go out by it any more.</p>
<p class="field"><label for="f-out">IP</label><select id="f-out" name="ip">${views.map(({ ip }) => html`<option value="${ip.id}">${ip.address}</option>`)}</select></p><p class="buttons"><button>Take it out</button></p></form>`
}</div>`
}`,
    });
  });

  registerPoolButtons(pages);
}

/** What a pool's mail went out by: first by warming IPs, since that is what warms them; what is beyond goes to the others. */
function carriedFigures(views: readonly IpView[]): Piece {
  const sent = (warming: boolean) =>
    views
      .filter(({ ip }) => (ip.status === 'warming') === warming)
      .reduce((sum, { quota }) => sum + quota.day.used, 0);
  return html`<div><dt>today by warming IPs</dt><dd>${grouped(sent(true))}</dd></div>
<div><dt>today by the others (overflow)</dt><dd>${grouped(sent(false))}</dd></div>`;
}

function wantedText({ wanted, held }: Demand): Piece {
  if (wanted === 0) return html`<span class="faint">nothing</span>`;
  return html`${grouped(wanted)}${held > 0 && html`, <span class="bad">${percent(held / wanted)} held</span>`}`;
}

function fullVolume(views: readonly IpView[]): Piece {
  const warming = views.filter(({ ip }) => ip.status === 'warming');
  const waiting = views.filter(({ ip }) => ip.status === 'provisioning').length;
  if (views.length === 0) return 'no IP in it';
  if (waiting > 0) return `not yet known: ${counted(waiting, 'IP')} not started`;
  if (warming.length === 0) return 'now: all its IPs are active';
  const ends = warming.map(({ wire }) => wire.warmup.completesAt);
  const known = ends.filter((one) => one !== null);
  if (known.length < ends.length)
    return `not yet known: the progress of ${counted(ends.length - known.length, 'IP')} stands still`;
  return html`${time(Math.max(...known.map((one) => Date.parse(one))))}, if nothing holds them`;
}

const ceilingText = ({ ceiling: { perDay, perHour } }: Pick<Pool, 'ceiling'>) =>
  perDay === null && perHour === null
    ? 'none'
    : [perDay !== null && `${grouped(perDay)} a day`, perHour !== null && `${grouped(perHour)} an hour`]
        .filter(Boolean)
        .join(', ');

function poolButtons(pool: PoolDescription, held: boolean): Html {
  const link = (name: string, label: string, kind = '') =>
    html`<a class="button ${kind}" href="/pools/${pool.id}/${name}">${label}</a> `;
  return html`<p class="buttons" role="group" aria-label="What can be done">
${held ? link('resume', 'Resume') : link('hold', 'Hold the pool', 'red')}${!pool.isDefault && link('default', 'Make it the default')}${link('rename', 'Rename')}${link('delete', 'Delete')}</p>`;
}

type PoolButton = {
  title: string;
  button: string;
  isRed?: boolean;
  happens(pool: PoolDescription): Piece[];
  fields?(pool: PoolDescription): Piece;
  press(tenant: Tenant, pool: Pool, fields: Record<string, string>): Promise<unknown>;
  did: string;
};

const BUTTONS: Readonly<Record<string, PoolButton>> = {
  hold: {
    title: 'Hold the pool',
    button: 'Hold it',
    isRed: true,
    did: 'held',
    happens: ({ ipCount }) => [
      `All its IPs are held at once: ${counted(ipCount, 'IP')} today, and those that join it later.`,
      'Mail stops for every sender; what was leased before may be sent for one second more.',
      'Nothing is lost: resume it, and each goes on at the day that it had.',
    ],
    fields: () => holdFields(),
    press: (tenant, { id }, fields) => holdPool(tenant, id, holdOfForm(fields)),
  },
  resume: {
    title: 'Resume the pool',
    button: 'Resume it',
    did: 'resumed',
    happens: () => [
      'Its IPs may send again at once, within the limits of their day.',
      'An IP that is held by a hold of its own stays held.',
    ],
    press: (tenant, { id }) => resumePool(tenant, id),
  },
  default: {
    title: 'Make it the default pool',
    button: 'Make it the default',
    did: 'default',
    happens: () => [
      'Mail that names no pool goes out by its IPs, and new IPs join it.',
      'The pool that was the default so far is it no more.',
    ],
    press: (tenant, { id }) => updatePool(tenant, id, { isDefault: true }),
  },
  rename: {
    title: 'Rename the pool',
    button: 'Rename it',
    did: 'renamed',
    happens: ({ name }) => [
      `Senders that name "${name}" are answered 404 from this moment on: give them the new name, or the id.`,
      'Its IPs, its number and its holds stay.',
    ],
    fields: ({ name }) => textField('name', 'New name', { value: name, isRequired: true }),
    press: (tenant, { id }, { name = '' }) => updatePool(tenant, id, { name }),
  },
  delete: {
    title: 'Delete the pool',
    button: 'Delete it',
    isRed: true,
    did: 'deleted',
    happens: ({ name, ipCount, isDefault }) => [
      `Senders that name "${name}" are answered 404 from this moment on.`,
      `Its IPs (${counted(ipCount, 'IP')}) stay on the account, out of this pool and from under its hold.`,
      ...(isDefault
        ? ['There is no default pool then: mail that names none goes out by any IP of the account.']
        : []),
    ],
    press: (tenant, { id }) => deletePool(tenant, id),
  },
};

function registerPoolButtons({ app, sessionOf, show, fieldsOf }: Pages): void {
  type Named = { Params: { id: string } };

  for (const [name, { title, button, isRed, happens, fields, press, did }] of Object.entries(BUTTONS)) {
    app.get<Named>(`/pools/:id/${name}`, async (request, reply) => {
      const session = sessionOf(request);
      const pool = await describePool(session.tenant, await getPool(session.tenant, request.params.id));
      return show(request, reply, {
        title: `${title}: ${pool.name}`,
        at: '/pools',
        body: confirmation({
          session,
          action: `/pools/${pool.id}/${name}`,
          title: `${title}: ${pool.name}`,
          happens: happens(pool),
          fields: fields?.(pool),
          button,
          isRed: isRed ?? false,
          back: `/pools/${pool.id}`,
        }),
      });
    });

    app.post<Named>(`/pools/:id/${name}`, async (request, reply) => {
      const given = fieldsOf(request);
      const { tenant } = sessionOf(request);
      const pool = await getPool(tenant, request.params.id);
      await press(tenant, pool, given);
      return reply.redirect(`/pools${name === 'delete' ? '' : `/${pool.id}`}?did=${did}`, 303);
    });
  }

  app.post<Named>('/pools/:id/add', async (request, reply) => {
    const { ip = '' } = fieldsOf(request);
    const { tenant } = sessionOf(request);
    const pool = await getPool(tenant, request.params.id);
    const named = ip.trim().startsWith('ip_') ? ipNamed(ip.trim()) : canonicalAddress(ip, 'ip');
    await moveIpToPool(tenant, pool.id, await findIpId(tenant, named));
    return reply.redirect(`/pools/${pool.id}?did=pooled`, 303);
  });

  app.post<Named>('/pools/:id/remove', async (request, reply) => {
    const { ip = '' } = fieldsOf(request);
    const { tenant } = sessionOf(request);
    const pool = await getPool(tenant, request.params.id);
    await removeIpFromPool(tenant, pool.id, await findIpId(tenant, ipNamed(ip)));
    return reply.redirect(`/pools/${pool.id}?did=left`, 303);
  });
}
