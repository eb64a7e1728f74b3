import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { root } from '../docs/page.ts';

// docs/dependencies.md says what each package is there for. It is held against package.json, the lockfile and the sources.

type Locked = { version: string; license?: string; hasInstallScript?: boolean } & Partial<
  Record<'dependencies' | 'optionalDependencies', Record<string, string>>
>;
type Kind = 'dependencies' | 'optionalDependencies' | 'devDependencies';

const json = (name: string) => JSON.parse(readFileSync(join(root, name), 'utf8'));
const wanted = json('package.json') as Record<Kind, Record<string, string>>;
const { packages } = json('package-lock.json') as { packages: Record<string, Locked> };
const page = readFileSync(join(root, 'docs/dependencies.md'), 'utf8');

/** `| name | what for | brings | licence |` */
const rows = new Map(
  [...page.matchAll(/^\| `([^`]+)` \| (.+?) \| (\d+) \| (.+?) \|$/gm)].map(
    ([, name, why, brings, license]) => [name!, { why: why!, brings: Number(brings), license: license! }],
  ),
);

/** As Node looks for it: beside the one that asks, then a floor up. */
function found(name: string, from: string): string | null {
  for (let at = from; ; at = at.slice(0, Math.max(0, at.lastIndexOf('/node_modules/')))) {
    const path = `${at ? `${at}/` : ''}node_modules/${name}`;
    if (packages[path]) return path;
    if (at === '') return null;
  }
}

/** The paths of a package and all that it brings. */
function withAllItBrings(name: string): Set<string> {
  const all = new Set<string>();
  const open = [found(name, '')];
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    if (path === null || all.has(path)) continue;
    all.add(path);
    const { dependencies = {}, optionalDependencies = {} } = packages[path]!;
    for (const each of Object.keys({ ...dependencies, ...optionalDependencies }))
      open.push(found(each, path));
  }
  return all;
}

const direct = (...kinds: Kind[]) => kinds.flatMap((kind) => Object.keys(wanted[kind]));
const ofProduction = () =>
  new Set(direct('dependencies', 'optionalDependencies').flatMap((name) => [...withAllItBrings(name)]));

test('each direct dependency is in the table, with its licence and what it brings, and no other is', () => {
  expect([...rows.keys()].sort()).toEqual(
    direct('dependencies', 'optionalDependencies', 'devDependencies').sort(),
  );
  for (const [name, { brings, license }] of rows) {
    expect({ name, brings, license }).toEqual({
      name,
      brings: withAllItBrings(name).size - 1,
      license: packages[`node_modules/${name}`]!.license,
    });
  }
});

test('the page counts right, and all licences of production are free of conditions on what is built with them', () => {
  const all = [...ofProduction()];
  expect(page).toContain(`${all.length} packages in production`);
  const licenses = new Set(all.map((path) => packages[path]!.license));
  const FREE = ['MIT', 'MIT-0', 'ISC', '0BSD', 'BSD-2-Clause', 'BSD-3-Clause', 'Apache-2.0', 'BlueOak-1.0.0'];
  expect([...licenses].filter((license) => !FREE.includes(license ?? 'none'))).toEqual([]);
});

test('only the packages that are named run a script when they are installed', () => {
  const scripted = Object.keys(packages).filter((path) => packages[path]!.hasInstallScript);
  for (const path of scripted) expect(page).toContain(`\`${path.replace('node_modules/', '')}\``);
  expect(scripted).toHaveLength(2);
});

test('what is used in src is a dependency, and each dependency is used there', () => {
  const used = new Set<string>();
  for (const name of readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })) {
    if (!/\.(ts|js)$/.test(name)) continue;
    const text = readFileSync(join(root, 'src', name), 'utf8');
    for (const [, target] of text.matchAll(/(?:from|import\(|resolve\(|require\()\s*'([@a-z][\w@./-]*)'/g)) {
      if (target!.startsWith('node:') || /^warmline(\/|$)/.test(target!)) continue;
      used.add(
        target!
          .split('/')
          .slice(0, target!.startsWith('@') ? 2 : 1)
          .join('/'),
      );
    }
  }
  expect([...used].sort()).toEqual(direct('dependencies', 'optionalDependencies').sort());
});
