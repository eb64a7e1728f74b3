/** Demand beside quota: what senders wanted in this hour and the one before it, what was granted and what was held. */
import type { Demand } from '../../fleet/demand.ts';
import { html, type Piece } from '../html.ts';
import { CODES, grouped, percent } from './words.ts';

export function demandFigures({ wanted, granted, held, heldBy }: Demand): Piece {
  const [most] = heldBy;
  return html`<div><dt>wanted, this hour and the last</dt><dd>${wanted === 0 ? html`<span class="faint">nothing</span>` : grouped(wanted)}</dd></div>
${
  wanted > 0 &&
  html`<div><dt>of it granted</dt><dd>${grouped(granted)}</dd></div>
<div><dt>of it held</dt><dd${held > 0 && html` class="bad"`}>${held === 0 ? 'nothing' : html`${grouped(held)} (${percent(held / wanted)})${most && html`<small>${heldBy.length > 1 && 'most: '}${CODES[most[0]] ?? most[0]}</small>`}`}</dd></div>`
}`;
}
