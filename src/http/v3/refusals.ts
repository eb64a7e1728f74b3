/** What the fleet refuses, in the words of the v3 dialect. */
import { MOST_IPS_PER_POOL } from '../../fleet/pool.ts';
import { WarmlineError } from '../../warmup/errors.ts';
import { refuse } from '../../wire/v3.ts';

/** Does something with pools, and says what the fleet says of them in the words of this dialect. */
export async function inWordsOfPools<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof WarmlineError ? (poolRefusal(error) ?? error) : error;
  }
}

function poolRefusal({ details }: WarmlineError) {
  switch (details.reason) {
    case 'name_taken':
      return refuse('name', 'already exists');
    case 'too_many_pools':
      return refuse('', '100 pools limit has been reached');
    case 'pool_full':
      return refuse(
        'ips',
        `the total number of IPs per pool cannot exceed ${MOST_IPS_PER_POOL}. current IP count in ‘${details.pool}’ is ‘${details.ipCount}’`,
      );
    default:
      return null;
  }
}

export const isRefused = (error: unknown, ...codes: WarmlineError['code'][]): error is WarmlineError =>
  error instanceof WarmlineError && codes.includes(error.code);
