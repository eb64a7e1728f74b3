/** `/held`: what is being denied now, and why: of the takes that came to this process, and of the pools as they stand. */
import { isIP } from 'node:net';
import { loadIps } from '../../fleet/change.ts';
import type { Tenant } from '../../fleet/engine.ts';
import { explain } from '../../fleet/explain.ts';
import { listPools } from '../../fleet/pools.ts';
import { canonicalAddress } from '../../warmup/address.ts';
import { invalid, WarmlineError } from '../../warmup/errors.ts';
import { sentenceOf, sentenceOfIp } from '../../warmup/explanation.ts';
import type { Context } from '../context.ts';
import type { Denial } from '../demand.ts';
import { type Html, html, type Piece } from '../html.ts';
import { demandFigures } from './fleet.ts';
import { numberIn } from './ip-buttons.ts';
import { textField } from './layout.ts';
import type { Pages } from './register.ts';
import { cellsOf, viewOf } from './view.ts';
import { CODES, grouped, lengthText, paramsOf, time } from './words.ts';

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
    const { of, count } = request.query as { of?: unknown; count?: unknown };
    const asked = { of: textIn(of), count: textIn(count) };
    const answer = of === undefined ? null : await explanationOf(context, tenant, asked);
    return show(request, reply, {
      title: 'Held',
      at: '/held',
      body: html`<h1>Held</h1>
<p>Takes that were denied in this hour and the one before, by what the sender named and by the limit that refused. Counted are those that came to
<em>this process</em> over HTTP (since ${time(demand.sinceMs)}): senders that ask Redis directly are not among them. What was granted is counted exactly, on the pages of the IPs.</p>
${wanted.wanted > 0 && html`<dl class="figures">${demandFigures(wanted)}</dl>`}
${
  rows.length === 0
    ? html`<div class="card empty"><h2>Nothing was denied</h2><p>No take that came here in this hour or the one before was refused.</p></div>`
    : html`<div class="wide" role="region" aria-label="Denied takes" tabindex="0"><table class="rows"><thead><tr><th scope="col">Wanted from</th><th scope="col">Denied by</th><th scope="col">Takes</th><th scope="col">Sends</th><th scope="col">Last</th><th scope="col">As it stands</th><th scope="col">Ask</th></tr></thead><tbody>
${rows}</tbody></table></div>`
}
<section aria-labelledby="explain"><h2 id="explain">Explain a take</h2>
<p>Why a take would be granted or denied at this moment, by the code that decides. Nothing is taken by asking.</p>
<form class="filters" method="get" action="/held#explain">
${textField('of', 'IP or pool', { value: asked.of, hint: 'An address, an id, or the name of a pool; empty: as a take that names neither.' })}
${textField('count', 'Sends', { value: asked.count, type: 'number', placeholder: '1' })}
<p class="buttons"><button>Explain it</button></p>
</form>
${answer}</section>
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
  { target, code, ipId, takes, wanted, lastAtMs, retryAfterMs }: Denial,
): Promise<Html> {
  const [ip] = ipId ? await loadIps(tenant, [ipId]) : [];
  const named: Piece =
    target.ip !== undefined
      ? html`<a href="/ips/${ip?.id ?? target.ip}">${ip?.address ?? target.ip}</a>`
      : target.pool !== undefined
        ? html`pool <a href="/pools/${encodeURIComponent(target.pool)}">${target.pool}</a>`
        : 'no IP and no pool named';
  const now = ip
    ? html`${target.ip === undefined && html`<a href="/ips/${ip.id}">${ip.address}</a> has room soonest. `}${cellsOf(await viewOf(context, tenant, ip)).standing}`
    : retryAfterMs === null
      ? 'waiting does not help'
      : `again in ${lengthText(retryAfterMs)} from then`;
  return html`<tr><th scope="row">${named}</th><td data-label="Denied by">${CODES[code] ?? code}</td><td data-label="Takes">${grouped(takes)}</td><td data-label="Sends">${grouped(wanted)}</td><td data-label="Last">${time(lastAtMs)}</td><td data-label="As it stands">${now}</td><td><a href="/held?${paramsOf({ of: target.ip ?? target.pool ?? '' })}#explain">Explain<span class="unseen"> a take from ${target.ip ?? target.pool ?? 'any IP'}</span></a></td></tr>
`;
}

const textIn = (value: unknown) => (typeof value === 'string' ? value.trim().slice(0, 200) : '');

/** The first IPs in the order of choice; more tell nobody more. */
const MOST_EXPLAINED = 20;

async function explanationOf(
  context: Context,
  tenant: Tenant,
  asked: { of: string; count: string },
): Promise<Html> {
  try {
    const count = numberIn('count', asked.count) ?? 1;
    if (count < 1 || count > MOST_SENDS)
      throw invalid('count', `count is ${count}; it must be from 1 to ${grouped(MOST_SENDS)}`);
    const named =
      asked.of === ''
        ? {}
        : isIP(asked.of)
          ? { ip: canonicalAddress(asked.of) }
          : /^ip_[0-9a-z]{1,64}$/.test(asked.of)
            ? { ip: asked.of }
            : { pool: asked.of };
    const { explanation } = await explain(tenant, context.limiterOf(tenant.account), { ...named, count });
    const shown = explanation.isOneIp ? [] : explanation.ips.slice(0, MOST_EXPLAINED);
    const isDenied = explanation.verdict.granted.length === 0;
    return html`<p class="note${isDenied && ' bad'}" role="status">${isDenied ? 'Denied' : 'Granted'}: ${sentenceOf(explanation)}</p>
${shown.length > 0 && html`<ol>${shown.map((ip) => html`<li><a href="/ips/${ip.ipId}">${ip.ip}</a>${sentenceOfIp(explanation, ip).replace(ip.ip, '')}</li>`)}</ol>`}
${!explanation.isOneIp && explanation.ipCount > shown.length && html`<p class="faint">These are the first ${grouped(shown.length)} of ${grouped(explanation.ipCount)} in the order of choice.</p>`}`;
  } catch (error) {
    if (!(error instanceof WarmlineError)) throw error;
    return html`<p class="note bad" role="alert">${error.message}</p>`;
  }
}

const MOST_SENDS = 1_000_000;
