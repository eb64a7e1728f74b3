/** The style and the scripts of the pages, served from the package under a name that holds their hash, so that they may be kept for good. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { FastifyInstance } from 'fastify';

const TYPES = { css: 'text/css; charset=utf-8', js: 'text/javascript; charset=utf-8' } as const;

/** `src` is a file beside this one, or one of uPlot's. */
const FILES = {
  'dashboard.css': 'assets/dashboard.css',
  'uplot.css': 'uplot:uPlot.min.css',
  'uplot.js': 'uplot:uPlot.iife.min.js',
  'chart.js': 'assets/chart.js',
  'live.js': 'assets/live.js',
} as const;
export type AssetName = keyof typeof FILES;

type Asset = { path: string; type: string; body: Buffer };

const uplot = () => dirname(createRequire(import.meta.url).resolve('uplot/package.json'));

function read(name: AssetName): Asset {
  const source = FILES[name];
  const body = readFileSync(
    source.startsWith('uplot:')
      ? join(uplot(), 'dist', source.slice('uplot:'.length))
      : new URL(source, import.meta.url),
  );
  const [stem, kind] = name.split('.') as [string, keyof typeof TYPES];
  const hash = createHash('sha256').update(body).digest('hex').slice(0, 12);
  return { path: `/assets/${stem}.${hash}.${kind}`, type: TYPES[kind], body };
}

let assets: Record<AssetName, Asset> | undefined;

function all(): Record<AssetName, Asset> {
  assets ??= Object.fromEntries(
    (Object.keys(FILES) as AssetName[]).map((name) => [name, read(name)]),
  ) as Record<AssetName, Asset>;
  return assets;
}

/** Where a page finds it. */
export const assetPath = (name: AssetName) => all()[name].path;

export function registerAssets(app: FastifyInstance): void {
  for (const { path, type, body } of Object.values(all())) {
    app.get(path, { config: { quiet: true } }, async (_request, reply) =>
      reply.headers({ 'cache-control': 'public, max-age=31536000, immutable' }).type(type).send(body),
    );
  }
}
