import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { type Block, blocksOf, PAGES, root } from './page.ts';

// Every block of the README and of docs/ is run by a test, or stands here with the reason why it is not.

/** Which tests run the marked blocks of a page. */
const RUN_BY: Record<string, readonly string[]> = {
  'README.md': ['test/readme.test.ts'],
  'docs/clients.md': ['test/docs/pages.test.ts'],
  'docs/ips.md': ['test/docs/pages.test.ts'],
  'docs/keys.md': ['test/docs/pages.test.ts'],
  'docs/metrics.md': ['test/docs/pages.test.ts'],
  'docs/operate.md': ['test/docs/pages.test.ts'],
  'docs/other-languages.md': ['test/docs/other-languages.test.ts', 'test/docs/pages.test.ts'],
  'docs/security.md': ['test/security/acl.test.ts'],
  'docs/webhooks.md': ['test/docs/webhooks.test.ts', 'test/docs/pages.test.ts'],
};

/** How the block begins, and why nothing runs it as it stands. */
const NOT_RUN: readonly [page: string, begins: string, why: string][] = [
  [
    'README.md',
    'npm start ',
    'the tests would run the tests; test/scripts/setup.test.ts runs what both do first',
  ],
  ['README.md', 'npm run demo', 'a minute of real SMTP; its name is checked below'],
  ['README.md', 'None of the 3 IPs', 'an answer'],
  ['README.md', 'The last of 20,000', 'an answer'],
  ['README.md', 'provisioning -> warming', 'a picture'],
  ['README.md', 'schedules  ->  plan', 'a picture'],
  ['README.md', '(umask 077; for name', 'needs Docker and its registry'],
  [
    'docs/cluster.md',
    'REDIS_URL=redis://:secret@10.0.0.1',
    'machines of its own; test/cluster does it with six processes',
  ],
  ['docs/cluster.md', 'cluster-enabled yes', 'settings; those of test/support/redis-cluster.ts'],
  ['docs/cluster.md', 'export REDISCLI_AUTH', 'six machines; test/cluster makes one over the protocol'],
  ['docs/cluster.md', 'redis-cli --cluster import', 'two installations'],
  ['docs/cluster.md', 'EVALSHA <sha> 2', 'a form to fill in; test/cluster calls it so'],
  ['docs/dependencies.md', 'npm audit', 'asks the registry, which a test must not need'],
  ['docs/ips.md', 'dig +short', 'the DNS of the world'],
  [
    'docs/other-languages.md',
    'EVALSHA <sha> 1 warmline:{acct_default}:hot:',
    'a form to fill in; test/docs/other-languages.test.ts calls it so',
  ],
  [
    'docs/other-languages.md',
    'EVALSHA <sha> 1 warmline:{acct_default}:account warmline:{acct_default}: 0 0',
    'a form to fill in; the senders of test/redis/fence.test.ts call it so',
  ],
  [
    'docs/other-languages.md',
    'EVALSHA <sha> 1 warmline:{acct_default}:account warmline:{acct_default}: "pool marketing"',
    'a form to fill in; test/docs/other-languages.test.ts calls it so',
  ],
  ['docs/webhooks.md', '{', 'an event'],
];

const all = PAGES.flatMap((page) => blocksOf(page).map((block) => ({ page, ...block })));
type Found = Block & { page: string };
const where = ({ page, line, text }: Found) => `${page}:${line}: ${text.split('\n')[0]}`;
const isNamed = ({ page, text }: Found) =>
  NOT_RUN.some(([of, begins]) => of === page && text.startsWith(begins));

test('every block is run by a test or named with the reason', () => {
  expect(all.length).toBeGreaterThan(30);
  expect(all.filter((block) => block.name === null && !isNamed(block)).map(where)).toEqual([]);
});

test('no block is both, and none is named that is not there', () => {
  expect(all.filter((block) => block.name !== null && isNamed(block)).map(where)).toEqual([]);
  for (const [page, begins] of NOT_RUN) {
    const meant = all.filter((block) => block.page === page && block.text.startsWith(begins));
    expect(meant.map(where), `${page}: ${begins}`).toHaveLength(1);
  }
});

test('what is marked as tested is read by the tests of its page', () => {
  for (const { page, name, line } of all) {
    if (name === null) continue;
    const sources = (RUN_BY[page] ?? []).map((file) => readFileSync(join(root, file), 'utf8'));
    const isRead = sources.some((source) => source.includes(page) && source.includes(`'${name}'`));
    expect(isRead, `${page}:${line}: "${name}" is read by ${RUN_BY[page] ?? 'no test'}`).toBe(true);
  }
});

test('the commands of npm that the README names are there', () => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  const named = [...readme.matchAll(/npm run (?:-s )?([\w-]+)|npm (start|test)/g)];
  const names = [...new Set(named.map(([, ran, short]) => ran ?? short!))];
  expect(names).toEqual(expect.arrayContaining(['start', 'test', 'demo', 'dry-run', 'bench']));
  expect(names.filter((name) => !(name in scripts))).toEqual([]);
});

/** As GitHub makes them of headings. */
const anchor = (heading: string) =>
  heading
    .toLowerCase()
    .replace(/[^\w\- ]/g, '')
    .replaceAll(' ', '-');

test('links between the pages lead somewhere', () => {
  const broken: string[] = [];
  for (const page of PAGES) {
    const text = readFileSync(join(root, page), 'utf8');
    for (const [, target] of text.matchAll(/(?:\]\(|src="|srcset=")([^)"\s]+)/g)) {
      if (/^https?:/.test(target!)) continue;
      const [path = '', fragment] = target!.split('#');
      const file = path === '' ? join(root, page) : join(root, dirname(page), path);
      const headings = () =>
        [...readFileSync(file, 'utf8').matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchor(heading!));
      if (!existsSync(file) || (fragment && !headings().includes(fragment)))
        broken.push(`${page}: ${target}`);
    }
  }
  expect(broken).toEqual([]);
});
