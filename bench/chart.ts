/** The bars as an SVG that stands by itself, readable on light and on dark ground. */
import { type Bar, short } from './report.ts';

const ROW = 26;
const LEFT = 300;
const PLOT = 520;
const RIGHT = 80;
const TOP = 62;

export function chartOf(bars: readonly Bar[]): string {
  const logs = bars.map(({ value }) => Math.log10(value));
  const from = Math.floor(Math.min(0, ...logs));
  const to = Math.max(from + 1, Math.ceil(Math.max(0, ...logs)));
  const x = (log: number) => round(LEFT + (PLOT * (log - from)) / (to - from));
  const [width, height] = [LEFT + PLOT + RIGHT, TOP + ROW * bars.length + 14];
  const bottom = TOP + ROW * bars.length;

  const grid = Array.from({ length: to - from + 1 }, (_, index) => {
    const log = from + index;
    return (
      `<line class="grid" x1="${x(log)}" x2="${x(log)}" y1="${TOP - 6}" y2="${bottom}"/>` +
      `<text class="axis" x="${x(log)}" y="${TOP - 12}" text-anchor="middle">${log < 0 ? 10 ** log : short(10 ** log)}</text>`
    );
  });
  const rows = bars.map(({ label, value, ours }, index) => {
    const y = TOP + ROW * index;
    const wide = Math.max(1, round(x(Math.log10(value)) - LEFT));
    return (
      `<text x="${LEFT - 10}" y="${y + 16}" text-anchor="end">${escaped(label)}</text>` +
      `<rect class="${ours ? 'ours' : 'peer'}" x="${LEFT}" y="${y + 4}" width="${wide}" height="${ROW - 9}" rx="2"/>` +
      `<text class="value" x="${LEFT + wide + 6}" y="${y + 16}">${short(value)}</text>`
    );
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="Takes a second as multiples of RateLimiterRedis.consume">
<style>
svg { background: #ffffff; font: 13px system-ui, sans-serif; }
text { fill: #1f2328; } .axis { fill: #59636e; font-size: 11px; } .title { font-size: 15px; font-weight: 600; }
.grid { stroke: #d1d9e0; } .ours { fill: #0a7d4b; } .peer { fill: #8b949e; }
@media (prefers-color-scheme: dark) {
svg { background: #0d1117; } text { fill: #e6edf3; } .axis { fill: #9198a1; }
.grid { stroke: #30363d; } .ours { fill: #3fb97f; } .peer { fill: #6e7681; }
}
</style>
<text class="title" x="12" y="24">Takes a second, as multiples of RateLimiterRedis.consume in the same round (logarithmic)</text>
${grid.join('\n')}
${rows.join('\n')}
</svg>
`;
}

const round = (value: number) => Math.round(value * 10) / 10;

const escaped = (text: string) => text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
