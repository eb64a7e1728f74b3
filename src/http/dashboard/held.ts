/** `/held`: what is being denied now, and why: of the takes that came to this process, and of the pools as they stand. */
import { loadIps } from '../../fleet/change.ts';
import type { Tenant } from '../../fleet/engine.ts';
import { listPools } from '../../fleet/pools.ts';
import type { Context } from '../context.ts';
import type { Denial } from '../demand.ts';
import { type Html, html, type Piece } from '../html.ts';
import { demandFigures } from './fleet.ts';
import type { Pages } from './register.ts';
import { standing, viewOf } from './view.ts';
import { CODES, grouped, lengthText, time } from './words.ts';

export function registerHeld({ app, context, sessionOf, show }: Pages): void {
  const { demand } = context;

  app.get('/held', async (request, reply) => {
    const { tenant } = sessionOf(request);
    const denials = demand.denialsOf(tenant.account.id);
    const [rows, pools] = await Promise.all([
      Promise.all(denials.map((denial) => describe(context, tenant, denial))),
      listPools(tenant),
    ]);
    const held = pools.filter(({ hold }) => hold?.sending);
    const wanted = demand.wantedOf(tenant.account.id);
    return show(request, reply, {
      title: 'Held',
      at: '/held',
      body: html`<h1>Held</h1>
<p>Takes that were denied in the last hour, by what the sender named and by the limit that refused. Counted are those that came to
<em>this process</em> over HTTP (since ${time(demand.sinceMs)}): senders that ask Redis directly are not among them. What was granted is counted exactly, on the pages of the IPs.</p>
${wanted.wanted > 0 && html`<dl class="figures">${demandFigures(wanted)}</dl>`}
${
  rows.length === 0
    ? html`<div class="card empty"><h2>Nothing was denied</h2><p>In the last hour no take that came here was refused.</p></div>`
    : html`<div class="wide" role="region" aria-label="Denied takes" tabindex="0"><table class="rows"><thead><tr><th scope="col">Wanted from</th><th scope="col">Denied by</th><th scope="col">Takes</th><th scope="col">Sends</th><th scope="col">Last</th><th scope="col">As it stands</th></tr></thead><tbody>
${rows}</tbody></table></div>`
}
${
  held.length > 0 &&
  html`<h2>Pools on hold</h2><ul>${held.map(({ id, name, hold }) => html`<li><a href="/pools/${id}">${name}</a>: ${hold!.because}, by ${hold!.by} since ${time(hold!.sinceMs)}</li>`)}</ul>`
}`,
    });
  });
}

async function describe(
  context: Context,
  tenant: Tenant,
  { target, code, ipId, takes, sends, lastAtMs, retryAfterMs }: Denial,
): Promise<Html> {
  const [ip] = ipId ? await loadIps(tenant, [ipId]) : [];
  const named: Piece =
    target.ip !== undefined
      ? html`<a href="/ips/${ip?.id ?? target.ip}">${ip?.address ?? target.ip}</a>`
      : target.pool !== undefined
        ? html`pool <a href="/pools/${encodeURIComponent(target.pool)}">${target.pool}</a>`
        : 'no IP and no pool named';
  const now = ip
    ? html`${target.ip === undefined && html`<a href="/ips/${ip.id}">${ip.address}</a> has room soonest. `}${standing(await viewOf(context, tenant, ip))}`
    : retryAfterMs === null
      ? 'waiting does not help'
      : `again in ${lengthText(retryAfterMs)} from then`;
  return html`<tr><th scope="row">${named}</th><td data-label="Denied by">${CODES[code] ?? code}</td><td data-label="Takes">${grouped(takes)}</td><td data-label="Sends">${grouped(sends)}</td><td data-label="Last">${time(lastAtMs)}</td><td data-label="As it stands">${now}</td></tr>
`;
}
