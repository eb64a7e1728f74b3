import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createApi } from '../../src/http/server.ts';
import { createRegistry, roundTripHistogram } from '../../src/runtime/metrics.ts';
import { startWebhooks } from '../../src/worker/webhooks.ts';
import { startWorker } from '../../src/worker/worker.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { eventually } from '../support/processes.ts';
import { freePort } from '../support/redis-server.ts';

// What stands in deploy/ and docs/metrics.md, held against the metrics of a whole running process.

const file = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url));
const read = (name: string) => readFileSync(file(name), 'utf8');

/** Debian and others have it in the package prometheus. */
const PROMTOOL = process.env.PROMTOOL ?? 'promtool';
const PROMETHEUS = process.env.PROMETHEUS ?? 'prometheus';
const isThere = (program: string) => spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0;
const hasPromtool = isThere(PROMTOOL);

let fleet: Fleet;
let text: string;
const closing: (() => unknown)[] = [];
beforeAll(async () => {
  fleet = await startFleet({ clock: 'real' });
  await fleet.warming();
  const registry = createRegistry();
  roundTripHistogram(registry);
  const common = {
    engine: fleet.engine,
    redisUrl: fleet.server.url,
    log: pino({ level: 'silent' }),
    registry,
  };
  const worker = await startWorker({ ...common, tickEveryMs: 100 });
  const webhooks = await startWebhooks({ ...common, allowPrivate: false });
  const api = await createApi(common);
  closing.push(
    () => worker.stop(),
    () => webhooks.stop(),
    () => api.close(),
  );
  text = await registry.metrics();
});
afterAll(async () => {
  for (const close of closing) await close();
  await fleet.stop();
});

/** `x_bucket`, `x_sum` and `x_count` are the histogram `x`. */
const known = () => new Set([...text.matchAll(/^# TYPE (\w+)/gm)].map(([, name]) => name!));
const named = (where: string) =>
  [...new Set(where.match(/\b(warmline|nodejs|process)_\w+/g) ?? [])].map((name) =>
    known().has(name) ? name : name.replace(/_(bucket|sum|count)$/, ''),
  );

test.each(['deploy/alerts.yml', 'deploy/grafana-dashboard.json'])(
  '%s asks for metrics that there are, and for most of them',
  (name) => {
    const asked = named(read(name));
    expect(asked.filter((metric) => !known().has(metric))).toEqual([]);
    expect(asked.length).toBeGreaterThan(10);
  },
);

test('docs/metrics.md names every metric of ours, and no other', () => {
  const documented = named(read('docs/metrics.md')).filter(
    (name) => name.startsWith('warmline_') && !name.endsWith('_'),
  );
  const ours = [...known()].filter((name) => name.startsWith('warmline_'));
  expect(documented.filter((name) => !known().has(name))).toEqual(
    ['warmline_quota_'].filter((n) => documented.includes(n)),
  );
  expect(ours.filter((name) => !documented.includes(name))).toEqual([]);
});

test('every metric says what it is, and a fleet of one account has few series', () => {
  for (const [, name, help] of text.matchAll(/^# HELP (warmline_\w+) (.*)$/gm)) {
    expect(help, name).toMatch(/^\S.*\.$/);
  }
  const series = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  expect(series.length).toBeLessThan(400);
});

test('the dashboard can be read, and no panel stands on another', () => {
  const { panels, templating } = JSON.parse(read('deploy/grafana-dashboard.json')) as {
    panels: { id: number; title: string; gridPos: { x: number; y: number; w: number; h: number } }[];
    templating: { list: { name: string }[] };
  };
  expect(templating.list.map(({ name }) => name)).toEqual(['datasource', 'account']);
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
  const taken = new Set<string>();
  for (const { title, gridPos } of panels) {
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
        expect(x, title).toBeLessThan(24);
        expect(taken.has(`${x},${y}`), title).toBe(false);
        taken.add(`${x},${y}`);
      }
    }
  }
});

test.skipIf(!hasPromtool)(
  'promtool finds the metrics, the rules and their tests in order (skipped only where there is no promtool)',
  () => {
    const run = (args: readonly string[], input?: string) =>
      execFileSync(PROMTOOL, args, { ...(input !== undefined && { input }) }).toString();
    expect(run(['check', 'rules', file('deploy/alerts.yml')])).toContain('SUCCESS: 13 rules found');
    expect(run(['test', 'rules', file('deploy/alerts.test.yml')])).toContain('SUCCESS');
    run(['check', 'config', file('deploy/prometheus.yml')]);
    // What Node itself is told by is named by others.
    const ours = text.split('\n').filter((line) => /^(# \w+ )?warmline_/.test(line));
    run(['check', 'metrics', '--extended'], `${ours.join('\n')}\n`);
  },
);

test.skipIf(!isThere(PROMETHEUS))(
  'a real Prometheus understands every query of the dashboard (skipped only where there is none; Grafana itself is not tried)',
  async () => {
    const dir = mkdtempSync(join(tmpdir(), 'warmline-prometheus-'));
    writeFileSync(join(dir, 'prometheus.yml'), 'global: {}\n');
    const port = await freePort();
    const prometheus = spawn(
      PROMETHEUS,
      [
        `--config.file=${join(dir, 'prometheus.yml')}`,
        `--storage.tsdb.path=${join(dir, 'data')}`,
        `--web.listen-address=127.0.0.1:${port}`,
      ],
      { stdio: 'ignore' },
    );
    try {
      const url = `http://127.0.0.1:${port}`;
      await eventually(
        'Prometheus is ready',
        async () => {
          const ready = await fetch(`${url}/-/ready`).catch(() => null);
          return ready?.ok === true;
        },
        60_000,
      );
      const { panels } = JSON.parse(read('deploy/grafana-dashboard.json')) as {
        panels: { title: string; targets?: { expr: string }[] }[];
      };
      const queries = panels.flatMap(({ title, targets = [] }) =>
        targets.map(({ expr }) => ({ title, query: expr.replaceAll('$account', '.*') })),
      );
      expect(queries.length).toBeGreaterThan(30);
      for (const { title, query } of queries) {
        expect(query, title).not.toContain('$');
        const answer = await fetch(`${url}/api/v1/query?${new URLSearchParams({ query })}`);
        expect((await answer.json()) as object, `${title}: ${query}`).toMatchObject({ status: 'success' });
      }
    } finally {
      prometheus.kill();
      await once(prometheus, 'exit');
      rmSync(dir, { recursive: true, force: true });
    }
  },
);
