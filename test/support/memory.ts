/** How many bytes of Redis the keys of an IP take, by `MEMORY USAGE` (the key, its entry in the dictionary, its value). */
import type { AccountKeys } from '../../src/redis/keys.ts';

type AsksRedis = { call(command: string, ...args: string[]): Promise<unknown> };

/** `sent` apart from the rest: it grows with what was sent, up to 48 hours and 128 days. */
export async function bytesOfIp(
  redis: AsksRedis,
  keys: AccountKeys,
  { id, address }: { id: string; address: string },
): Promise<{ record: number; hot: number; quota: number; sent: number; own: number }> {
  const bytesOf = async (key: string) =>
    Number((await redis.call('MEMORY', 'USAGE', key, 'SAMPLES', '0')) ?? 0);
  const [record, hot, quota, sent] = await Promise.all(
    [keys.ip(id), keys.hot(address), keys.quota(address), keys.sent(id)].map(bytesOf),
  );
  return {
    record: record!,
    hot: hot!,
    quota: quota!,
    sent: sent!,
    own: record! + hot! + quota!,
  };
}
