/** `warmline worker`: a worker without an API; any number of them may run. */
import type { Command } from 'commander';
import { runProcess } from './process.ts';

export function register(command: Command): void {
  command
    .addHelpText(
      'after',
      '\nExamples:\n  REDIS_URL=redis://10.0.0.5:6379 warmline worker\n  METRICS_PORT=9464 REDIS_URL=redis://10.0.0.5:6379 warmline worker     with /metrics on 127.0.0.1:9464',
    )
    .action(() => runProcess({ name: 'worker', api: false, worker: true, embedded: false }));
}
