/** An earlier revision of the project, in a folder of its own inside the cache, ready to run from its sources. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export type Earlier = { readonly sha: string; readonly root: string };

const git = (...args: string[]) =>
  execFileSync('git', args, { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();

/** The hash of a revision; `null` where there is no such history: a tarball, a shallow clone. */
export function findRevision(...names: readonly string[]): string | null {
  for (const name of names) {
    try {
      return git('rev-parse', '--verify', '--quiet', `${name}^{commit}`);
    } catch {
      // The next one, then.
    }
  }
  return null;
}

/** Its packages are ours when its lockfile is; else it gets its own. */
export function checkOut(sha: string): Earlier {
  const root = join(ROOT, '.cache', 'upgrade', sha.slice(0, 12));
  git('worktree', 'prune');
  if (!existsSync(join(root, 'package.json'))) {
    mkdirSync(join(ROOT, '.cache', 'upgrade'), { recursive: true });
    git('worktree', 'add', '--force', '--detach', root, sha);
  }
  if (!existsSync(join(root, 'node_modules'))) {
    const lock = (folder: string) => readFileSync(join(folder, 'package-lock.json'), 'utf8');
    if (lock(root) === lock(ROOT)) symlinkSync(join(ROOT, 'node_modules'), join(root, 'node_modules'));
    else execFileSync('npm', ['ci', '--prefer-offline', '--no-audit', '--no-fund'], { cwd: root });
  }
  return { sha, root };
}

/** The version of the record of an IP that a tree writes. Only where it is the same is the way back promised. */
export function recordVersionOf(root: string): number {
  const text = readFileSync(join(root, 'src/warmup/dedicated-ip.ts'), 'utf8');
  return Number(/RECORD_VERSION = (\d+)/.exec(text)?.[1]);
}
