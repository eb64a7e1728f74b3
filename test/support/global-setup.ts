import { findRedisServer } from '../../src/runtime/redis-binary.ts';

/** Almost every test needs a redis-server; better one sentence before the first than the same error from all of them. */
export default function checkRedisServer(): void {
  if (findRedisServer() === null) {
    throw new Error(
      'The tests need redis-server 7.0 or newer, or valkey-server 7.2 or newer: run `node scripts/setup.mjs test`, which provides one.',
    );
  }
}
