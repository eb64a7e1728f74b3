/** `warmline restore`: an account from its file, into an installation that does not have it. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { readBackup } from '../fleet/backup/format.ts';
import { restoreBackup } from '../fleet/backup/restore.ts';
import { invalid, WarmlineError } from '../warmup/errors.ts';
import { openInstallation } from './installation.ts';
import { counted, grouped, say } from './table.ts';
import { whileWaiting } from './waiting.ts';

const EXAMPLES = `
Examples:
  $ warmline restore acme.jsonl
  $ REDIS_URL=redis://:secret@10.0.0.5:6379 warmline restore acme.jsonl

Nobody knows what was sent after the backup was taken, so of every IP the running day counts as used up: it sends again with
its next one. What belongs to somebody else by now (an address, a name, a number) is refused, and then nothing is restored.
An attempt that was cut off goes on when it is called again with the same file. Start warmline once on a new Redis before.`;

export function register(command: Command): void {
  command
    .argument('<file>', 'what "warmline backup" wrote')
    .addHelpText('after', EXAMPLES)
    .action(async (file: string) => {
      const backup = readBackup(textOf(file));
      const here = await openInstallation();
      try {
        if (here.clock === null) {
          throw new WarmlineError(
            'conflict',
            'this Redis is empty; start warmline on it once, so that it has a clock, and try again',
          );
        }
        let done = 0;
        const restoring = restoreBackup(here.engine, backup, (ips) => {
          done = ips;
        });
        const { ips, pools, keys, webhooks } = await whileWaiting(
          () => `restoring, ${grouped(done)} IPs so far`,
          restoring,
        );
        say(
          `account ${backup.head.account.name} is back: ${counted(ips, 'IP')}, ${counted(pools, 'pool')}, ${counted(keys, 'key')}, ${counted(webhooks, 'webhook')}; today counts as used up for each IP`,
        );
      } finally {
        here.close();
      }
    });
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw invalid(
      'file',
      `${file} cannot be read (${(error as NodeJS.ErrnoException).code}); name what "warmline backup" wrote`,
    );
  }
}
