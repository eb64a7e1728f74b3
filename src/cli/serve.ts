/** `warmline serve`: everything in one process. What a fresh machine starts with. */
import type { Command } from 'commander';
import { runProcess } from './process.ts';

export function register(command: Command): void {
  command
    .addHelpText(
      'after',
      `
Settings come from the environment: REDIS_URL, REDIS_CA, REDIS_CERT, REDIS_KEY, HOST, PORT, WARMLINE_API_KEY,
WARMLINE_DATA_DIR, WARMLINE_COOLDOWN, WARMLINE_INVENTORY, WARMLINE_SCHEDULES, WARMLINE_RATE_LIMIT,
WARMLINE_TEST_CLOCK, WARMLINE_QUIET, WARMLINE_WEBHOOK_PRIVATE, METRICS_HOST, METRICS_PORT, LOG_LEVEL.

Examples:
  warmline serve
  WARMLINE_INVENTORY="203.0.113.0/28" warmline serve
  REDIS_URL=redis://:secret@10.0.0.5:6379 PORT=9090 warmline serve
  WARMLINE_TEST_CLOCK=2026-01-10T10:00:00Z WARMLINE_DATA_DIR=/tmp/try warmline serve`,
    )
    .action(() => runProcess({ name: 'serve', api: true, worker: true, embedded: true }));
}
