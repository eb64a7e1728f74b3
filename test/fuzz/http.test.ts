/** A small part of `npm run fuzz`, the same each time; `FUZZ_SEED=7 FUZZ_REQUESTS=20000` draws another. */
import { expect, test } from 'vitest';
import { fuzz } from './run.ts';

const requests = Number(process.env.FUZZ_REQUESTS ?? 2_000);
const seed = Number(process.env.FUZZ_SEED ?? 20261129);

test('no request, valid, nearly valid or hostile, breaks the server or makes it tell what it should not', async () => {
  const report = await fuzz({ requests, seed });
  expect(report.findings).toEqual([]);
  expect(report.requests).toBe(requests);
  // A run that is turned away at the door tries nothing.
  const { '2xx': done = 0, '4xx': refused = 0 } = report.byClass;
  expect(done).toBeGreaterThan(requests / 5);
  expect(refused).toBeGreaterThan(requests / 5);
  expect(Object.keys(report.byKind).sort()).toEqual(['form', 'hostile', 'nearly', 'page', 'socket', 'valid']);
}, 600_000);
