/** The run as an SVG that stands by itself: what took how long, what weighed how much, how many keys; over the minutes. */
import { sumOf } from './judge.ts';
import { short } from './report.ts';
import type { Sample } from './sample.ts';

type Line = { label: string; values: number[] };
type Panel = { title: string; lines: Line[] };

const [WIDTH, PANEL, PLOT_LEFT, PLOT_RIGHT, PLOT_TOP] = [900, 190, 60, 690, 34];
const PLOT_HEIGHT = PANEL - PLOT_TOP - 26;
const MB = 1024 * 1024;
const MINUTE_MS = 60_000;

export function chartOf(samples: readonly Sample[]): string {
  const line = (label: string, read: (sample: Sample) => number): Line => ({
    label,
    values: samples.map(read),
  });
  const panels: Panel[] = [
    {
      title: 'Takes of senders, ms',
      lines: [line('p99', ({ takes }) => takes.p99Ms), line('p50', ({ takes }) => takes.p50Ms)],
    },
    {
      title: 'Requests over HTTP, ms',
      lines: [
        line('p99', ({ requests }) => requests.p99Ms),
        line('p50', ({ requests }) => requests.p50Ms),
        line('batches of takes, p50', ({ httpTakes }) => httpTakes.p50Ms),
      ],
    },
    {
      title: 'Memory, MB',
      lines: [
        line('engine', ({ rssBytes }) => rssBytes.engine! / MB),
        line('a sender', ({ rssBytes }) => rssBytes['sender 1']! / MB),
        line('Redis, used', ({ redis }) => redis.usedBytes / MB),
      ],
    },
    {
      title: 'Keys in Redis',
      lines: [line('all', ({ keys }) => sumOf(Object.values(keys)))],
    },
  ];
  const lastMs = samples.at(-1)?.atMs ?? 1;
  const drawn = panels.map((panel, index) => drawPanel(panel, samples, lastMs, index * PANEL));
  const height = panels.length * PANEL + 8;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="Latency, memory and keys over ${Math.round(lastMs / MINUTE_MS)} minutes of mixed traffic">
<style>
svg { background: #ffffff; font: 13px system-ui, sans-serif; }
text { fill: #1f2328; } .axis { fill: #59636e; font-size: 11px; } .title { font-weight: 600; }
.grid { stroke: #d1d9e0; } path { fill: none; stroke-width: 1.6; }
.l0 { stroke: #0a7d4b; } .l1 { stroke: #0969da; } .l2 { stroke: #9a6700; }
@media (prefers-color-scheme: dark) {
svg { background: #0d1117; } text { fill: #e6edf3; } .axis { fill: #9198a1; } .grid { stroke: #30363d; }
.l0 { stroke: #3fb97f; } .l1 { stroke: #58a6ff; } .l2 { stroke: #d29922; }
}
</style>
${drawn.join('\n')}
</svg>
`;
}

function drawPanel({ title, lines }: Panel, samples: readonly Sample[], lastMs: number, top: number): string {
  const most = roundUp(Math.max(1e-3, ...lines.flatMap(({ values }) => values)));
  const x = (atMs: number) => round(PLOT_LEFT + ((PLOT_RIGHT - PLOT_LEFT) * atMs) / lastMs);
  const y = (value: number) => round(top + PLOT_TOP + PLOT_HEIGHT * (1 - value / most));
  const rules = [0, most / 2, most].map(
    (value) =>
      `<line class="grid" x1="${PLOT_LEFT}" x2="${PLOT_RIGHT}" y1="${y(value)}" y2="${y(value)}"/>` +
      `<text class="axis" x="${PLOT_LEFT - 8}" y="${y(value) + 4}" text-anchor="end">${short(value)}</text>`,
  );
  const minutes = Math.max(1, Math.round(lastMs / MINUTE_MS));
  const ticks = Array.from({ length: 7 }, (_, index) => Math.round((minutes * index) / 6));
  const under = [...new Set(ticks)].map(
    (minute) =>
      `<text class="axis" x="${x(Math.min(lastMs, minute * MINUTE_MS))}" y="${top + PANEL - 10}" text-anchor="middle">${minute} min</text>`,
  );
  const paths = lines.map(({ values }, index) => {
    const steps = values.map((value, at) => `${at === 0 ? 'M' : 'L'}${x(samples[at]!.atMs)} ${y(value)}`);
    return `<path class="l${index}" d="${steps.join('')}"/>`;
  });
  const names = lines.map(({ label, values }, index) => {
    const at = top + PLOT_TOP + 12 + index * 20;
    return (
      `<path class="l${index}" d="M${PLOT_RIGHT + 14} ${at - 4}h18"/>` +
      `<text x="${PLOT_RIGHT + 38}" y="${at}">${label}: ${short(values.at(-1) ?? 0)}</text>`
    );
  });
  return [
    `<text class="title" x="12" y="${top + 20}">${title}</text>`,
    ...rules,
    ...under,
    ...paths,
    ...names,
  ].join('\n');
}

const round = (value: number) => Math.round(value * 10) / 10;

/** The next of 1, 2, 5, 10, ... so that the axis has numbers to read. */
function roundUp(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value)!;
}
