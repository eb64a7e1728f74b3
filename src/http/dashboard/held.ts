/** `/held`: what is being denied now, and why; and why a take would be denied at this moment. */
import { isIP } from 'node:net';
import { loadIps } from '../../fleet/change.ts';
import { type Denial, demandOf, denialsOf, OF_ALL } from '../../fleet/demand.ts';
import type { Tenant } from '../../fleet/engine.ts';
import { explain } from '../../fleet/explain.ts';
import { listPools } from '../../fleet/pools.ts';
import { canonicalAddress } from '../../warmup/address.ts';
import { invalid, WarmlineError } from '../../warmup/errors.ts';
import { sentenceOf, sentenceOfIp } from '../../warmup/explanation.ts';
import type { Context } from '../context.ts';
import { type Html, html, type Piece } from '../html.ts';
import { demandFigures } from './demand-figures.ts';
import { numberIn } from './ip-buttons.ts';
import { textField } from './layout.ts';
import type { Pages } from './register.ts';
import { cellsOf, viewsOf } from './view.ts';
import { CODES, grouped, paramsOf, time } from './words.ts';

export function registerHeld({ app, context, sessionOf, show }: Pages): void {
  app.get('/held', async (request, reply) => {
    const { tenant } = sessionOf(request);
    await context.tellDemand(tenant.account);
    const [all, [wanted], pools] = await Promise.all([
      denialsOf(tenant),
      demandOf(tenant, [OF_ALL]),
      listPools(tenant),
    ]);
    const denials = all.slice(0, MOST_ROWS);
    const poolNames = new Map(pools.map(({ id, name }) => [id, name]));
    const rows = await describeAll(context, tenant, denials, poolNames);
    const held = pools.filter(({ hold }) => hold?.sending);
    const { of, count } = request.query as { of?: unknown; count?: unknown };
    const asked = { of: textIn(of), count: textIn(count) };
    const answer = of === undefined ? null : await explanationOf(context, tenant, asked);
    return show(request, reply, {
      title: 'Held',
      at: '/held',
      body: html`<h1>Held</h1>
<p>What was denied in this hour and the one before, by what the sender named and by the limit that refused, over HTTP and of senders that ask Redis
themselves: they tell every ten seconds. Who asks again wants again, so what waits is counted more than once. What was granted is counted exactly, on the pages of the IPs.</p>
<dl class="figures">${demandFigures(wanted!)}</dl>
${
  rows.length === 0
    ? html`<div class="card empty"><h2>Nothing was denied</h2><p>No take of this hour or the one before was refused.</p></div>`
    : html`<div class="wide" role="region" aria-label="Denied takes" tabindex="0"><table class="rows"><thead><tr><th scope="col">Wanted from</th><th scope="col">Denied by</th><th scope="col">Takes</th><th scope="col">Sends</th><th scope="col">Last</th><th scope="col">As it stands</th><th scope="col">Ask</th></tr></thead><tbody>
${rows}</tbody></table></div>${all.length > rows.length && html`<p class="faint">These are the latest ${grouped(rows.length)} of ${grouped(all.length)}.</p>`}`
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

const MOST_ROWS = 100;

async function describeAll(
  context: Context,
  tenant: Tenant,
  denials: readonly Denial[],
  poolNames: ReadonlyMap<string, string>,
): Promise<Html[]> {
  const isIpId = (target: string | null) => target?.startsWith('ip_') ?? false;
  const ids = denials.flatMap(({ target, ipId }) => [isIpId(target) ? target! : [], ipId ?? []].flat());
  const ips = new Map((await loadIps(tenant, [...new Set(ids)])).map((ip) => [ip.id, ip]));
  const views = new Map(
    (await viewsOf(context, tenant, [...ips.values()])).map((view) => [view.ip.id, view]),
  );
  return denials.map(({ target, code, ipId, takes, sends, lastAtMs }) => {
    const named = isIpId(target) ? ips.get(target!)?.address : target !== null && poolNames.get(target);
    const who: Piece =
      target === null
        ? 'no IP and no pool named'
        : isIpId(target)
          ? html`<a href="/ips/${target}">${named ?? target}</a>`
          : html`pool <a href="/pools/${target}">${named || target}</a>`;
    const soonest = views.get(ipId ?? (isIpId(target) ? target! : ''));
    const now = soonest
      ? html`${!isIpId(target) && html`<a href="/ips/${soonest.ip.id}">${soonest.ip.address}</a> has room soonest. `}${cellsOf(soonest).standing}`
      : html`<span class="faint">see the explanation</span>`;
    return html`<tr><th scope="row">${who}</th><td data-label="Denied by">${CODES[code] ?? code}</td><td data-label="Takes">${grouped(takes)}</td><td data-label="Sends">${grouped(sends)}</td><td data-label="Last">${time(lastAtMs)}</td><td data-label="As it stands">${now}</td><td><a href="/held?${paramsOf({ of: named || (target ?? '') })}#explain">Explain<span class="unseen"> a take from ${named || (target ?? 'any IP')}</span></a></td></tr>
`;
  });
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
