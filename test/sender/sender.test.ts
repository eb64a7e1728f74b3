import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createSender } from '../../src/sender/index.ts';
import { type CuttingProxy, startCuttingProxy } from '../support/cutting-proxy.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';

let fleet: Fleet;
let proxy: CuttingProxy;
beforeEach(async () => {
  fleet = await startFleet({ clock: 'real' });
  proxy = await startCuttingProxy(fleet.server.port);
});
afterEach(async () => {
  proxy.stop();
  await fleet.stop();
});

describe('while Redis is out of reach', () => {
  test('a sender that may go on with active IPs goes on with those it saw without limits, and with no other', async () => {
    const active = await fleet.bring({ status: 'active' });
    const warming = await fleet.warming();
    const sender = await createSender({ redisUrl: fleet.server.url, whenUnreachable: 'allow-active' });
    expect((await sender.take({ ip: active.address })).limit).toBe(-1);
    expect((await sender.take({ ip: warming.address })).allowed).toBe(true);

    await fleet.server.kill9();
    const answer = await sender.take({ ip: active.address, count: 3 });
    // Uncounted, so there is no receipt to give back.
    expect(answer).toMatchObject({
      allowed: true,
      granted: [{ ip: active.address, ipId: active.id, count: 3, receipt: '' }],
    });
    for (const request of [{ ip: warming.address }, {}, { pool: 'never seen' }]) {
      expect(await sender.take(request)).toMatchObject({ allowed: false, because: { code: 'unreachable' } });
    }
    expect(await sender.peek({ ip: active.address })).toMatchObject({ allowed: false });
    await sender.close();
  });

  test('a sender denies everything unless it was told otherwise', async () => {
    const active = await fleet.bring({ status: 'active' });
    const sender = await fleet.sender();
    expect((await sender.take({ ip: active.address })).allowed).toBe(true);
    await fleet.server.kill9();
    expect(await sender.take({ ip: active.address })).toMatchObject({
      allowed: false,
      retryAfterMs: 1_000,
      because: { code: 'unreachable' },
    });
  });
});

test('a sender that asks again without a pause goes on when Redis is back', async () => {
  const active = await fleet.bring({ status: 'active' });
  const sender = await fleet.sender();
  await fleet.server.kill9();
  const isBack = fleet.server.restart();
  let denied = 0;
  // What comes back is empty, and knows the IP no more.
  const ask = () =>
    sender.take({ ip: active.address }).then(
      ({ because }) => because?.code,
      (error: Error) => error.name,
    );
  while ((await ask()) === 'unreachable') denied += 1;
  expect(await ask()).toBe('WarmlineError');
  expect(denied).toBeGreaterThan(0);
  await isBack;
});

describe('an IPv6 address', () => {
  test.each(['2001:DB8::1', '2001:db8:0:0:0:0:0:1', '2001:0db8::0001'])(
    'spelt %s is the same IP',
    async (spelt) => {
      const ip = await fleet.bring({ status: 'active', family: 6 });
      expect(ip.address).toBe('2001:db8::1');
      const sender = await fleet.sender();
      expect((await sender.take({ ip: spelt })).granted).toMatchObject([{ ip: '2001:db8::1' }]);
      expect((await sender.take({ among: [spelt] })).granted).toMatchObject([{ ip: '2001:db8::1' }]);
    },
  );

  test('that is an IPv4 one in disguise is that one', async () => {
    const ip = await fleet.bring({ status: 'active' });
    const sender = await fleet.sender();
    expect((await sender.take({ ip: `::ffff:${ip.address}` })).granted).toMatchObject([{ ip: ip.address }]);
  });
});

test('an unknown account is named, and nothing is left open', async () => {
  await expect(createSender({ redisUrl: fleet.server.url, account: 'nobody' })).rejects.toThrow(
    'there is no account "nobody" in this Redis',
  );
});

test('a sender without a Redis, or with one that is not there, says so in a sentence', async () => {
  await expect(createSender({ redisUrl: undefined as unknown as string })).rejects.toThrow(
    'no Redis is named; give its URL (example: redis://127.0.0.1:6379)',
  );
  await expect(createSender({ redisUrl: 'redis://:secret@127.0.0.1:1' })).rejects.toThrow(
    /^cannot reach Redis at redis:\/\/…@127\.0\.0\.1:1 \(.*ECONNREFUSED.*\); is it running\?$/,
  );
});
