import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { findRedisServer } from '../../src/runtime/redis-binary.ts';

const SETUP = fileURLToPath(new URL('../../scripts/setup.mjs', import.meta.url));

/** What almost every test needs; better one sentence before the first than the same error from all of them. */
export default function provideTheirNeeds(): void {
  if (findRedisServer() === null) {
    throw new Error(
      'The tests need redis-server 7.0 or newer, or valkey-server 7.2 or newer: run `node scripts/setup.mjs test`, which provides one.',
    );
  }
  // The processes of the tests run from dist, and a stale one would be tested in the place of what was changed.
  const { status } = spawnSync(process.execPath, [SETUP, 'build'], { stdio: 'inherit' });
  if (status !== 0) throw new Error('The tests run the built program, and it could not be built: see above.');
}
