/** `warmline worker`: a worker without an API; any number of them may run. */
import type { Command } from 'commander';
import { runProcess } from './process.ts';

export function register(command: Command): void {
  command
    .addHelpText('after', '\nExample:\n  REDIS_URL=redis://10.0.0.5:6379 warmline worker')
    .action(() => runProcess({ name: 'worker', api: false, worker: true, embedded: false }));
}
