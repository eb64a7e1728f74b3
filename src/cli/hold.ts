/** `warmline hold` and `warmline resume`: the stop button, for an IP, a pool or the whole account. */
import type { Command } from 'commander';
import type { z } from 'zod';
import { invalid } from '../warmup/errors.ts';
import type { AccountHoldChangeShape } from '../wire/shapes.ts';
import { type ApiOptions, createClient, withApi } from './client.ts';
import { type Ip, type Pool, told, whatIsHeld } from './ips.ts';
import { pathOf } from './named.ts';
import { counted, plain, time } from './table.ts';

type Named = ApiOptions & { all?: boolean };
type HoldOptions = Named & { because: string; until?: string; sending: boolean; advance: boolean };

export function register(command: Command): void {
  withApi(command)
    .argument('[ip or pool]', 'an address, an id, or the name of a pool')
    .option('--all', 'the whole account: every IP, also those that come later')
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
  $ warmline hold 203.0.113.7 --because "a quiet week" --no-sending      mail goes on, the warm-up day stays
  $ warmline hold --all --because "a bounce storm"`,
    )
    .action(async (named: string | undefined, options: HoldOptions) => {
      const { because, until, sending, advance } = options;
      const body = { because, sending, advance, ...(until === undefined ? {} : { until }) };
      const held = await createClient(options).post<Held>(holdPathOf(named, options), body);
      const end = held.hold?.until ? `until ${time(held.hold.until)}` : 'until somebody resumes it';
      const what = `${nameOf(held)} is held: ${whatIsHeld(body)}, ${end}`;
      told(held, options, 'changed' in held ? `${what}; ${counted(held.changed, 'IP')} changed` : what);
    });
}

/** The other half. */
export const resume = {
  register(command: Command): void {
    withApi(command)
      .argument('[ip or pool]', 'an address, an id, or the name of a pool')
      .option('--all', 'the whole account; what is held for itself or with its pool stays held')
      .addHelpText(
        'after',
        `
Examples:
  $ warmline resume 203.0.113.7
  $ warmline resume Marketing
  $ warmline resume --all`,
      )
      .action(async (named: string | undefined, options: Named) => {
        const free = await createClient(options).remove<Held>(holdPathOf(named, options));
        const still = free.hold ? `; ${whatIsHeld(free.hold)} all the same, by ${heldBy(free.hold)}` : '';
        const what = `${nameOf(free)} is resumed${still}`;
        told(free, options, 'changed' in free ? `${what}; ${counted(free.changed, 'IP')} changed` : what);
      });
  },
};

type Held = Ip | Pool | z.output<typeof AccountHoldChangeShape>;

function holdPathOf(named: string | undefined, { all = false }: Named): string {
  if ((named === undefined) !== all) {
    throw invalid(
      'ip or pool',
      all
        ? `--all is the whole account, and ${named} is a part of it; leave one of them out`
        : 'nothing is named; name an IP or a pool, or say --all for the whole account',
    );
  }
  return named === undefined ? '/v1/hold' : `${pathOf(named)}/hold`;
}

const nameOf = (held: Held) =>
  'changed' in held ? 'the account' : 'ipAddress' in held ? held.ipAddress : `pool ${plain(held.name)}`;

const heldBy = ({ scope, because }: { scope: string; because: string }) =>
  `the hold of ${scope === 'ip' ? 'the IP' : scope === 'account' ? 'the account' : `pool ${scope}`} (${plain(because)})`;
