/** `warmline hold` and `warmline resume`: the stop button. */
import type { Command } from 'commander';
import { type ApiOptions, createClient, withApi } from './client.ts';
import { type Ip, type Pool, told, whatIsHeld } from './ips.ts';
import { pathOf } from './named.ts';
import { plain, time } from './table.ts';

type HoldOptions = ApiOptions & { because: string; until?: string; sending: boolean; advance: boolean };

export function register(command: Command): void {
  withApi(command)
    .argument('<ip or pool>', 'an address, an id, or the name of a pool')
    .requiredOption('--because <why>', 'for whoever wonders later')
    .option('--until <time>', 'when it ends by itself (example: 2026-12-01T10:00:00Z)')
    .option('--no-advance', 'hold the mail only: the days go on')
    .option('--no-sending', 'hold the progress only: mail goes on at the limits of this day')
    .addHelpText(
      'after',
      `
Examples:
  $ warmline hold 203.0.113.7 --because "listed by a blocklist"
  $ warmline hold Marketing --because "complaints" --until 2026-12-01T10:00:00Z
  $ warmline hold 203.0.113.7 --because "a quiet week" --no-sending      mail goes on, the warm-up day stays`,
    )
    .action(async (named: string, options: HoldOptions) => {
      const { because, until, sending, advance } = options;
      const body = { because, sending, advance, ...(until === undefined ? {} : { until }) };
      const held = await createClient(options).post<Ip | Pool>(`${pathOf(named)}/hold`, body);
      const end = held.hold?.until ? `until ${time(held.hold.until)}` : 'until somebody resumes it';
      told(held, options, `${nameOf(held)} is held: ${whatIsHeld(body)}, ${end}`);
    });
}

/** The other half. */
export const resume = {
  register(command: Command): void {
    withApi(command)
      .argument('<ip or pool>', 'an address, an id, or the name of a pool')
      .addHelpText(
        'after',
        `
Examples:
  $ warmline resume 203.0.113.7
  $ warmline resume Marketing`,
      )
      .action(async (named: string, options: ApiOptions) => {
        const free = await createClient(options).remove<Ip | Pool>(`${pathOf(named)}/hold`);
        const still = free.hold ? `; ${whatIsHeld(free.hold)} all the same, by ${heldBy(free.hold)}` : '';
        told(free, options, `${nameOf(free)} is resumed${still}`);
      });
  },
};

const nameOf = (held: Ip | Pool) => ('ipAddress' in held ? held.ipAddress : `pool ${plain(held.name)}`);

const heldBy = ({ scope, because }: { scope: string; because: string }) =>
  `the hold of ${scope === 'ip' ? 'the IP' : scope === 'account' ? 'the account' : `pool ${scope}`} (${plain(because)})`;
