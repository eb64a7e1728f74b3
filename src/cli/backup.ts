/** `warmline backup`: an account as a file. It asks Redis itself, and writes nothing there. */
import type { Command } from 'commander';
import { sealing } from '../fleet/backup/format.ts';
import { takeBackup } from '../fleet/backup/take.ts';
import { openInstallation } from './installation.ts';
import { counted, grouped } from './table.ts';
import { whileWaiting } from './waiting.ts';

const EXAMPLES = `
Examples:
  $ warmline backup acme > acme.jsonl
  $ REDIS_URL=redis://:secret@10.0.0.5:6379 warmline backup default | gzip > default.jsonl.gz

The file has the account's IPs, pools, plans, what was sent, its changes, the hashes of its API keys (never the keys) and the
secrets of its webhooks in the clear: keep it as you keep those. Subusers that own IPs of their own need a backup each.
It asks Redis and no API, so it needs REDIS_URL (or the folder of "warmline serve") and no key.`;

export function register(command: Command): void {
  command
    .argument('<account>', 'name or id')
    .addHelpText('after', EXAMPLES)
    .action(async (account: string) => {
      const here = await openInstallation();
      try {
        let read = 0;
        const taking = takeBackup(here.engine, account, (ips) => {
          read = ips;
        });
        const { head, lines } = await whileWaiting(() => `reading, ${grouped(read)} IPs so far`, taking);
        const seal = sealing();
        process.stdout.write(seal.line(head));
        for (const line of lines) process.stdout.write(seal.line(line));
        process.stdout.write(seal.end());
        const of = (kind: string) => lines.filter((line) => line.kind === kind).length;
        process.stderr.write(
          `warmline: account ${head.account.name} as of ${new Date(head.takenAtMs).toISOString()}: ${counted(of('ip'), 'IP')}, ${counted(of('pool'), 'pool')}, ${counted(of('key'), 'key')}, ${counted(of('webhook'), 'webhook')}; the file holds secrets of webhooks and hashes of keys\n`,
        );
      } finally {
        here.close();
      }
    });
}
