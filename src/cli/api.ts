/** `warmline api`: the API without a worker, for a deployment in parts. */
import type { Command } from 'commander';
import { runProcess } from './process.ts';

export function register(command: Command): void {
  command
    .addHelpText('after', '\nExample:\n  REDIS_URL=redis://10.0.0.5:6379 warmline api')
    .action(() => runProcess({ name: 'api', api: true, worker: false, embedded: false }));
}
