import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { signatureOf } from '../../src/wire/webhooks.ts';
import { PYTHON } from '../support/python.ts';

// The code of docs/webhooks.md, as it stands there, against what is really sent.

const page = readFileSync(new URL('../../docs/webhooks.md', import.meta.url), 'utf8');
const code = (name: string) =>
  new RegExp(`<!-- tested: ${name} -->\\n\`\`\`\\w+\\n([\\s\\S]*?)\`\`\``).exec(page)![1]!;

const NOW_MS = Date.UTC(2026, 0, 10, 10);
const BODY = '{"id":"evt_1","data":{"because":"Grüße"}}';
const [SECRET, OLD] = ['whsec_new', 'whsec_old'];

const CASES: [what: string, body: string, header: string, secret: string, nowMs: number, isGood: boolean][] =
  [
    ['what was sent', BODY, signatureOf([SECRET], BODY, NOW_MS), SECRET, NOW_MS, true],
    ['four minutes later', BODY, signatureOf([SECRET], BODY, NOW_MS), SECRET, NOW_MS + 240_000, true],
    [
      'after a rotation, by the old secret',
      BODY,
      signatureOf([SECRET, OLD], BODY, NOW_MS),
      OLD,
      NOW_MS,
      true,
    ],
    ['another body', `${BODY} `, signatureOf([SECRET], BODY, NOW_MS), SECRET, NOW_MS, false],
    ['another secret', BODY, signatureOf([OLD], BODY, NOW_MS), SECRET, NOW_MS, false],
    ['sent again later', BODY, signatureOf([SECRET], BODY, NOW_MS), SECRET, NOW_MS + 301_000, false],
    [
      'sent again with a new time',
      BODY,
      signatureOf([SECRET], BODY, NOW_MS).replace(/t=\d+/, `t=${(NOW_MS + 600_000) / 1000}`),
      SECRET,
      NOW_MS + 600_000,
      false,
    ],
    ['no signature', BODY, '', SECRET, NOW_MS, false],
    ['no time', BODY, 'v1=00', SECRET, NOW_MS, false],
    ['an empty signature', BODY, `t=${NOW_MS / 1000},v1=`, SECRET, NOW_MS, false],
    ['letters for digits', BODY, `t=${NOW_MS / 1000},v1=${'zz'.repeat(32)}`, SECRET, NOW_MS, false],
  ];

test('the Node code of the page knows what is from Warmline', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'warmline-docs-'));
  try {
    const file = join(folder, 'check.mjs');
    writeFileSync(file, code('node'));
    const { isFromWarmline } = await import(/* @vite-ignore */ pathToFileURL(file).href);
    for (const [what, body, header, secret, nowMs, isGood] of CASES) {
      expect(isFromWarmline(body, header, secret, nowMs), what).toBe(isGood);
      expect(isFromWarmline(Buffer.from(body), header, secret, nowMs), what).toBe(isGood);
    }
    expect(isFromWarmline(BODY, undefined, SECRET)).toBe(false);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test.skipIf(!PYTHON)('the Python code of the page, too (skipped only where there is no Python)', () => {
  const program = `${code('python')}
import json, sys
for body, header, secret, now in json.load(sys.stdin):
    print(is_from_warmline(body.encode(), header, secret, now))
print(is_from_warmline(b"", None, "x"))`;
  const input = JSON.stringify(
    CASES.map(([, body, header, secret, nowMs]) => [body, header, secret, nowMs / 1000]),
  );
  const said = execFileSync(PYTHON!, ['-W', 'error', '-c', program], { input }).toString().trim().split('\n');
  expect(said).toEqual([...CASES.map(([, , , , , isGood]) => (isGood ? 'True' : 'False')), 'False']);
});
