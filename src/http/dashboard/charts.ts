/** A chart is drawn from a table with the same numbers, which is there without a script and for those who hear it. */
import { type Html, html, type Piece } from '../html.ts';

export type Column = {
  name: string;
  kind: 'line' | 'bars';
  /** Which colour of the style. */
  colour: 'plan' | 'sent' | 'third' | 'fourth';
};

export type Row = {
  label: string;
  /** By column; `null` is no number (unlimited, not yet), and leaves a gap. */
  values: readonly (number | null)[];
  /** What stands in the table instead of a missing number. */
  texts: readonly string[];
};

export function chart({
  title,
  first,
  columns,
  rows,
  isLog = false,
  about,
}: {
  title: string;
  /** What the rows are: `Day`. */
  first: string;
  columns: readonly Column[];
  rows: readonly Row[];
  isLog?: boolean;
  about?: Piece;
}): Html {
  return html`<figure class="chart" data-chart${isLog && html` data-log`}>
<figcaption>${title}</figcaption>
${about && html`<p class="faint">${about}</p>`}
<div class="plot" aria-hidden="true"></div>
<details><summary>${title}, as a table</summary>
<div class="wide" role="region" aria-label="${title}" tabindex="0"><table>
<thead><tr><th scope="col">${first}</th>${columns.map(
    ({ name, kind, colour }) =>
      html`<th scope="col" data-kind="${kind}" data-colour="${colour}">${name}</th>`,
  )}</tr></thead><tbody>
${rows.map(
  ({ label, values, texts }) =>
    html`<tr><th scope="row">${label}</th>${values.map((value, index) => html`<td class="num"${value !== null && html` data-v="${value}"`}>${texts[index]}</td>`)}</tr>
`,
)}</tbody></table></div></details>
</figure>`;
}
