/** `/changes`: who changed what, from what to what, and why; the newest first. */
import { type KeptChange, latestChanges } from '../../fleet/changes.ts';
import { allPools } from '../../fleet/pools.ts';
import { type Html, html, type Piece } from '../html.ts';
import type { Pages } from './register.ts';
import { time } from './words.ts';

const PER_PAGE = 100;
const CURSOR = /^\d{1,16}-\d{1,16}$/;

export function registerChangesPage({ app, sessionOf, show }: Pages): void {
  app.get<{ Querystring: { before?: unknown } }>('/changes', async (request, reply) => {
    const { tenant } = sessionOf(request);
    const { before } = request.query;
    const [{ changes, next }, pools] = await Promise.all([
      latestChanges(tenant, {
        before: typeof before === 'string' && CURSOR.test(before) ? before : null,
        limit: PER_PAGE,
      }),
      allPools(tenant),
    ]);
    return show(request, reply, {
      title: 'Changes',
      at: '/changes',
      body: html`<h1>Changes</h1>
<p>Everything that changed in the account: status, holds, plans, limits, pools and owners. <code>engine</code> is Warmline itself.</p>
${changesTable(changes, new Map(pools.map(({ id, name }) => [id, name])))}
${next && html`<nav class="pager" aria-label="Pages of the list"><a class="button" rel="next" href="/changes?before=${next}">Older</a></nav>`}`,
    });
  });
}

export function changesTable(
  changes: readonly Pick<KeptChange, 'at' | 'what' | 'from' | 'to' | 'because' | 'by' | 'address' | 'ipId'>[],
  pools: ReadonlyMap<string, string>,
  { withIp = true } = {},
): Html {
  if (changes.length === 0) return html`<div class="card empty"><h2>Nothing has changed yet</h2></div>`;
  return html`<div class="wide" role="region" aria-label="Changes" tabindex="0"><table class="changes">
<thead><tr><th scope="col">When</th>${withIp && html`<th scope="col">IP</th>`}<th scope="col">What</th><th scope="col">Why</th><th scope="col">Who</th></tr></thead><tbody>
${changes.map(
  ({ at, what, from, to, because, by, address, ipId }) =>
    html`<tr><td>${time(at)}</td>${withIp && html`<td>${ipId && html`<a href="/ips/${ipId}">${address ?? ipId}</a>`}</td>`}<td>${changeText(what, from, to, pools)}</td><td>${because}</td><td>${by}</td></tr>
`,
)}</tbody></table></div>`;
}

function changeText(what: string, from: unknown, to: unknown, pools: ReadonlyMap<string, string>): Piece {
  const shown = (value: unknown): string => {
    if (value === null || value === undefined) return 'none';
    if (typeof value === 'string') return pools.get(value) ?? value;
    if (typeof value !== 'object') return String(value);
    if (what === 'hold') {
      const { sending, advance } = value as { sending?: boolean; advance?: boolean };
      return sending && advance ? 'no mail, no progress' : sending ? 'no mail' : 'no progress';
    }
    return (
      Object.entries(value)
        .map(([key, one]) => `${key} ${one === null ? 'none' : String(one)}`)
        .join(', ') || 'none'
    );
  };
  return html`<strong>${what}</strong>: ${shown(from)} → ${shown(to)}`;
}
