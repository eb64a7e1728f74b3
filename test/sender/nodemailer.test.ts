import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import nodemailer, { type MailMessage, type SendMailOptions } from 'nodemailer';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { bringIps } from '../../src/fleet/inventory.ts';
import { setCeiling, startWarmup } from '../../src/fleet/ips.ts';
import { addIpToPool, createPool } from '../../src/fleet/pools.ts';
import type { Grant } from '../../src/redis/answer.ts';
import type { Sender } from '../../src/sender/index.ts';
import {
  QuotaExhausted,
  type WarmlineTransportOptions,
  warmlineTransport,
} from '../../src/sender/nodemailer.ts';
import { SmtpTransports } from '../../src/sender/nodemailer-smtp.ts';
import { type Fleet, type House, startFleet } from '../support/fleet.ts';
import { type Sink, startSink } from '../support/smtp-sink.ts';

let fleet: Fleet;
let house: House;
let sender: Sender;
let sink: Sink;
const cleanUp: (() => unknown)[] = [];

beforeAll(async () => {
  fleet = await startFleet({ clock: 'real' });
  sink = await startSink();
});
afterAll(async () => {
  await sink?.close();
  await fleet?.stop();
});

let houses = 0;
beforeEach(async () => {
  houses += 1;
  house = await fleet.house(`mail-${houses}`);
  sender = await fleet.sender({ account: `mail-${houses}` });
  await createPool(house.tenant, { name: 'marketing' });
  sink.behaviour = {};
  sink.clear();
});
afterEach(async () => {
  for (const done of cleanUp.splice(0).reverse()) await done();
});

type IpOptions = { hostname?: string; bind?: string; perHour?: number; pool?: string | null };

/** Each test has an account of its own, but an address is in the inventory once: so each gets new ones, all of this machine. */
let addresses = 0;
const nextAddress = () => {
  addresses += 1;
  return `127.0.${10 + (addresses >> 8)}.${addresses & 255}`;
};

/** An active IP that this machine can bind, with a limit if one is said. */
async function activeIp(
  { hostname, bind, perHour, pool = 'marketing' }: IpOptions & { address?: string } = {},
  address = nextAddress(),
) {
  const [ip] = await bringIps(house.tenant, {
    addresses: [address],
    status: 'active',
    ...(hostname ? { hostname } : {}),
    ...(bind ? { bind } : {}),
  });
  if (perHour !== undefined) await setCeiling(house.tenant, ip!.id, { perDay: null, perHour });
  if (pool) await addIpToPool(house.tenant, pool, ip!.id);
  return { id: ip!.id, address };
}

function mailerFor(options: Partial<WarmlineTransportOptions> = {}) {
  const smtp = options.deliver ? {} : { smtp: { host: sink.host, port: sink.port } };
  const transport = warmlineTransport({ sender, maxWaitMs: 0, ...smtp, ...options });
  const mailer = nodemailer.createTransport(transport);
  cleanUp.push(() => mailer.close());
  return mailer;
}

const to = (count: number) => Array.from({ length: count }, (_, index) => `r${index + 1}@example.test`);
const mail = (count = 1, more: SendMailOptions = {}): SendMailOptions => ({
  from: 'news@example.test',
  to: to(count),
  subject: 'Hello',
  text: 'Hello.',
  ...more,
});

/** What the books say was used of an IP in this hour. */
async function used({ address, id }: { address: string; id: string }): Promise<number> {
  return (await house.limiter.look(address, id)).counter!.state.hourUsed;
}

const failureOf = (promise: Promise<unknown>) =>
  promise.then(
    () => {
      throw new Error('it was sent');
    },
    (error: Error & Record<string, unknown>) => error,
  );

describe('the IP', () => {
  test('a message leaves from the granted IP, with its name in EHLO, and counts one send for each recipient', async () => {
    const ip = await activeIp({ hostname: 'mta1.example.test' });
    const info = await mailerFor({ pool: 'marketing' }).sendMail(
      mail(3, { cc: 'copy@example.test', bcc: 'hidden@example.test' }),
    );
    expect(sink.delivered()).toEqual({ [ip.address]: 5 });
    expect(sink.ehloNames()).toEqual({ [ip.address]: ['mta1.example.test'] });
    expect(await used(ip)).toBe(5);
    expect(info.accepted).toEqual([...to(3), 'copy@example.test', 'hidden@example.test']);
    expect(info.rejected).toEqual([]);
    expect(info.rejectedErrors).toBeUndefined();
    expect(info.response).toMatch(/^250 /);
    expect(info.parts).toMatchObject([
      { ip: ip.address, ipId: ip.id, count: 5, accepted: info.accepted, refunded: false },
    ]);
    expect(sink.messages[0]!.raw).toContain(`Message-ID: ${info.messageId}`);
    expect(sink.messages[0]!.raw).not.toContain('hidden@example.test');
  });

  test('a recipient who is named twice is one send, as in the envelope', async () => {
    const ip = await activeIp();
    await mailerFor().sendMail({ ...mail(2), cc: to(2) });
    expect(await used(ip)).toBe(2);
  });

  test('the local address of an IP behind a NAT is bound; without a host name EHLO says what the transport says', async () => {
    const bind = nextAddress();
    const ip = await activeIp({ bind }, '203.0.113.50');
    const smtp = { host: sink.host, port: sink.port, name: 'own.example.test' };
    await mailerFor({ ip: ip.address, smtp }).sendMail(mail());
    expect(sink.delivered()).toEqual({ [bind]: 1 });
    expect(sink.ehloNames()).toEqual({ [bind]: ['own.example.test'] });
    expect(await used(ip)).toBe(1);
  });

  test('a new host name is said by the next message, and the connections under the old one are closed', async () => {
    const ip = await activeIp({ hostname: 'old.example.test' });
    const renaming: Sender = {
      ...sender,
      async take(request) {
        const answer = await sender.take(request);
        return {
          ...answer,
          granted: answer.granted.map((grant) => ({ ...grant, hostname: names.shift()! })),
        };
      },
    };
    const names = ['old.example.test', 'new.example.test', 'new.example.test'];
    const mailer = mailerFor({ sender: renaming, smtp: { host: sink.host, port: sink.port, pool: true } });
    for (let sent = 0; sent < 3; sent += 1) await mailer.sendMail(mail());
    expect(sink.ehloNames()).toEqual({ [ip.address]: ['old.example.test', 'new.example.test'] });
    await expect.poll(() => sink.connections.open).toBe(1);
    mailer.close();
    await expect.poll(() => sink.connections.open).toBe(0);
  });

  test('a name or local address in the URL of the server does not win over the granted ones', async () => {
    const ip = await activeIp({ hostname: 'mta2.example.test' });
    const smtp = `smtp://${sink.host}:${sink.port}?name=other.example.test&localAddress=127.0.0.1`;
    await mailerFor({ smtp }).sendMail(mail());
    expect(sink.ehloNames()).toEqual({ [ip.address]: ['mta2.example.test'] });
  });

  test('among keeps to the IPs that are named; local are the addresses of this machine', async () => {
    const [first, second] = [await activeIp(), await activeIp()];
    await mailerFor({ among: [second.id] }).sendMail(mail(2));
    expect(sink.delivered()).toEqual({ [second.address]: 2 });
    sink.clear();
    // Of 127.0.0.0/8 the system lists only this one; the others could be bound all the same.
    const local = await activeIp({}, '127.0.0.1');
    await mailerFor({ pool: 'marketing', among: 'local' }).sendMail(mail(2));
    expect(sink.delivered()).toEqual({ [local.address]: 2 });
    expect(await used(first)).toBe(0);
  });

  test('family chooses among the IPs of a pool', async () => {
    await activeIp();
    await bringIps(house.tenant, { addresses: ['2001:db8::50'], status: 'active' });
    const granted: Grant[] = [];
    const deliver = async (_: unknown, grant: Grant) => void granted.push(grant);
    await mailerFor({ family: 6, deliver }).sendMail(mail());
    expect(granted).toMatchObject([{ ip: '2001:db8::50' }]);
  });

  test('an address that this machine does not have: one clear sentence, and nothing is spent', async () => {
    const ip = await activeIp({}, '203.0.113.9');
    const error = await failureOf(mailerFor().sendMail(mail(2)));
    expect(error).toMatchObject({ code: 'ESOCKET', originalCode: 'EADDRNOTAVAIL' });
    expect(error.message).toBe(
      "203.0.113.9 is not an address of this machine, so nothing was sent; name the IPs that it has with among, or among: 'local'",
    );
    expect(await used(ip)).toBe(0);
  });
});

describe('over quota', () => {
  test('all recipients or none: what does not fit as a whole takes nothing', async () => {
    const ip = await activeIp({ perHour: 2 });
    const error = await failureOf(mailerFor({ pool: 'marketing' }).sendMail(mail(3)));
    expect(error).toBeInstanceOf(QuotaExhausted);
    expect(error).toMatchObject({ code: 'quota_exhausted', retryAfterMs: null, because: { scope: null } });
    expect(error.message).toMatch(/^no quota for 3 sends from pool "marketing": .+; waiting is of no use$/);
    expect(await used(ip)).toBe(0);
    expect(sink.connections.open).toBe(0);
    await mailerFor().sendMail(mail(2));
    expect(await used(ip)).toBe(2);
  });

  test('a wait that is longer than allowed fails at once and says how long', async () => {
    await activeIp({ perHour: 1 });
    const mailer = mailerFor({ maxWaitMs: 1_000 });
    await mailer.sendMail(mail());
    const held: unknown[] = [];
    const startedAt = performance.now();
    const error = await failureOf(
      mailerFor({ maxWaitMs: 500, onHeld: (one) => held.push(one) }).sendMail(mail()),
    );
    expect(performance.now() - startedAt).toBeLessThan(300);
    expect(error).toBeInstanceOf(QuotaExhausted);
    expect(error.retryAfterMs).toBeGreaterThan(500);
    expect(error.because).toMatchObject({ code: expect.stringMatching(/^(ceiling|hour)$/) });
    expect(held).toEqual([]);
  });

  /** A bucket of one send that fills again in about 300 ms. */
  async function drip() {
    const ip = await activeIp();
    const [bare] = await bringIps(house.tenant, { addresses: [nextAddress()], status: 'provisioning' });
    await startWarmup(house.tenant, bare!.id, { plan: 'sendgrid-hourly', startDay: 20, burst: 1 });
    return { unlimited: ip, drip: { id: bare!.id, address: bare!.address } };
  }

  test('a short wait is waited: the message goes out when there is quota, and onHeld is told', async () => {
    const ip = (await drip()).drip;
    const held: { waitMs: number; recipients: number; because: unknown }[] = [];
    const mailer = mailerFor({ ip: ip.address, maxWaitMs: 2_000, onHeld: (one) => held.push(one) });
    await mailer.sendMail(mail());
    const startedAt = performance.now();
    await mailer.sendMail(mail());
    const tookMs = performance.now() - startedAt;
    expect(held.length).toBeGreaterThanOrEqual(1);
    expect(held[0]).toMatchObject({
      recipients: 1,
      because: { code: 'burst' },
      messageId: expect.stringContaining('@'),
    });
    expect(tookMs).toBeGreaterThan(100);
    expect(tookMs).toBeLessThan(1_500);
    expect(await used(ip)).toBe(2);
    expect(sink.delivered()).toEqual({ [ip.address]: 2 });
  });

  test('an abort or a close ends the wait, and nothing is taken', async () => {
    const ip = await activeIp({ perHour: 1 });
    await mailerFor().sendMail(mail());
    const mailer = mailerFor({ maxWaitMs: 4_000_000 });
    const abort = new AbortController();
    const aborted = failureOf(mailer.sendMail(mail(1, { signal: abort.signal })));
    const closed = failureOf(mailer.sendMail(mail()));
    await expect.poll(() => mailer.isIdle()).toBe(false);
    abort.abort(new Error('enough'));
    expect(await aborted).toMatchObject({ name: 'AbortError', code: 'EABORT', cause: { message: 'enough' } });
    mailer.close();
    expect(await closed).toMatchObject({
      code: 'ECONNECTION',
      message: 'the transport is closed, so the message was not sent',
    });
    expect(await failureOf(mailer.sendMail(mail()))).toMatchObject({ code: 'ECONNECTION' });
    expect(await used(ip)).toBe(1);
  });

  test('while Redis is away it is asked again within the time', async () => {
    const ip = await activeIp();
    const away = { allowed: false, granted: [], limit: 0, remaining: 0, retryAfterMs: 20, resetAfterMs: 20 };
    let failures = 2;
    const flaky: Sender = {
      ...sender,
      take: async (request) => {
        failures -= 1;
        const because = { code: 'unreachable' as const, scope: null, ipId: null, until: null };
        return failures >= 0 ? { ...away, because } : sender.take(request);
      },
    };
    await mailerFor({ sender: flaky, maxWaitMs: 1_000 }).sendMail(mail());
    expect(await used(ip)).toBe(1);
    failures = 1;
    const error = await failureOf(mailerFor({ sender: flaky, maxWaitMs: 0 }).sendMail(mail()));
    expect(error).toMatchObject({
      name: 'QuotaExhausted',
      because: { code: 'unreachable' },
      retryAfterMs: 20,
    });
    expect(error.message).toBe(
      'no quota for 1 send from this account: Redis cannot be reached; there will be quota in 20 ms',
    );
  });

  test('without a recipient nothing is taken and nobody is called', async () => {
    const ip = await activeIp();
    const before = sink.connections.total;
    const error = await failureOf(mailerFor().sendMail({ from: 'news@example.test', text: 'to whom?' }));
    expect(error).toMatchObject({ code: 'EENVELOPE', message: 'No recipients defined' });
    expect(await used(ip)).toBe(0);
    expect(sink.connections.total).toBe(before);
  });
});

describe('what is spent and what is given back', () => {
  const POOLED = [false, true] as const;

  test.each([
    ['421 in the place of the greeting', { connect: () => 421 }],
    ['554 in the place of the greeting', { connect: () => 554 }],
    ['cut after the greeting', { ehlo: () => 'cut' as const }],
    ['421 at MAIL FROM', { mailFrom: () => 421 }],
    ['451 at MAIL FROM', { mailFrom: () => 451 }],
    ['cut at MAIL FROM', { mailFrom: () => 'cut' as const }],
    ['550 for every recipient', { rcptTo: () => 550 }],
    ['421 at RCPT TO', { rcptTo: () => 421 }],
    ['cut at RCPT TO', { rcptTo: () => 'cut' as const }],
    ['452 after the message', { data: () => 452 }],
    ['cut after the message', { data: () => 'cut' as const }],
  ])('%s is spent', async (_, behaviour) => {
    for (const pool of POOLED) {
      const ip = await activeIp({ pool: null });
      sink.behaviour = behaviour;
      const smtp = { host: sink.host, port: sink.port, pool };
      const error = await failureOf(mailerFor({ ip: ip.address, smtp }).sendMail(mail(2)));
      expect(error.code, `pool: ${pool}`).toMatch(/^E(CONNECTION|SOCKET|PROTOCOL|ENVELOPE|MESSAGE)$/);
      expect(await used(ip), `pool: ${pool}`).toBe(2);
    }
  });

  /** A server that is no SMTP server yet: what happens before the first byte. */
  async function rawServer(onSocket: (socket: Socket) => void): Promise<number> {
    const server: Server = createServer((socket) => onSocket(socket.on('error', () => {}))).listen(
      0,
      '127.0.0.1',
    );
    await once(server, 'listening');
    cleanUp.push(() => server.close());
    return (server.address() as { port: number }).port;
  }

  test.each([
    ['connection refused', async () => ({ host: '127.0.0.1', port: 1 }), 'ESOCKET'],
    ['no such name', async () => ({ host: 'nonexistent.invalid', port: 25 }), 'EDNS'],
    [
      'cut before the greeting',
      async () => ({ port: await rawServer((socket) => socket.end()) }),
      'ECONNECTION',
    ],
    [
      'reset before the greeting',
      async () => ({ port: await rawServer((socket) => socket.resetAndDestroy()) }),
      'ESOCKET',
    ],
    [
      'a server that never greets',
      async () => ({ port: await rawServer(() => {}), greetingTimeout: 50 }),
      'ETIMEDOUT',
    ],
    ['a local address of the other family', async () => ({ host: '::1', port: 25 }), 'ESOCKET'],
  ])('%s is given back', async (_, where, code) => {
    for (const pool of POOLED) {
      const ip = await activeIp({ pool: null });
      const smtp = { host: '127.0.0.1', pool, ...(await where()) };
      const error = await failureOf(mailerFor({ ip: ip.address, smtp }).sendMail(mail(2)));
      expect(error.code, `pool: ${pool}`).toBe(code);
      expect(await used(ip), `pool: ${pool}`).toBe(0);
    }
  });

  test('a rejected recipient is spent, the others get the message', async () => {
    const ip = await activeIp();
    sink.behaviour = { rcptTo: (address) => (address.startsWith('r2') ? [550, 'no such user'] : null) };
    const info = await mailerFor().sendMail(mail(3));
    expect(info.accepted).toEqual(['r1@example.test', 'r3@example.test']);
    expect(info.rejected).toEqual(['r2@example.test']);
    expect(info.rejectedErrors).toMatchObject([{ recipient: 'r2@example.test', responseCode: 550 }]);
    expect(await used(ip)).toBe(3);
    expect(sink.delivered()).toEqual({ [ip.address]: 2 });
  });

  test('a pooled connection that breaks in mid-message: no recipient is offered twice on one send', async () => {
    const ip = await activeIp();
    sink.behaviour = { data: () => 'cut' };
    const smtp = { host: sink.host, port: sink.port, pool: true as const, maxRequeues: 5 };
    await failureOf(mailerFor({ smtp }).sendMail(mail(2)));
    expect(sink.attempted()).toEqual({ [ip.address]: 2 });
    expect(await used(ip)).toBe(2);
  });

  test('an abort before the server said anything is given back, one after it is spent', async () => {
    const ip = await activeIp();
    const silent = await rawServer(() => {});
    const abort = new AbortController();
    const early = failureOf(
      mailerFor({ smtp: { host: '127.0.0.1', port: silent } }).sendMail(mail(1, { signal: abort.signal })),
    );
    await expect.poll(() => used(ip)).toBe(1);
    abort.abort();
    expect(await early).toMatchObject({ code: 'EABORT' });
    expect(await used(ip)).toBe(0);

    const later = new AbortController();
    sink.behaviour = {
      async data() {
        later.abort();
        return 451;
      },
    };
    expect(await failureOf(mailerFor().sendMail(mail(1, { signal: later.signal })))).toMatchObject({
      code: 'EABORT',
    });
    expect(await used(ip)).toBe(1);
  });

  test('a refund that fails does not hide why the message was not sent', async () => {
    const ip = await activeIp();
    const broken: Sender = { ...sender, refund: () => Promise.reject(new Error('Redis is away')) };
    const error = await failureOf(
      mailerFor({ sender: broken, smtp: { host: '127.0.0.1', port: 1 } }).sendMail(mail()),
    );
    expect(error).toMatchObject({ originalCode: 'ECONNREFUSED' });
    expect(await used(ip)).toBe(1);
  });

  test('what was allowed while Redis was away has no receipt and needs no refund', async () => {
    const ip = await activeIp();
    const grant = { ip: ip.address, ipId: ip.id, count: 1, receipt: '', hostname: null, bind: null };
    const offline: Sender = {
      ...sender,
      take: async () => ({
        allowed: true,
        granted: [grant],
        limit: -1,
        remaining: -1,
        retryAfterMs: 0,
        resetAfterMs: 0,
        because: null,
      }),
      refund: () => Promise.reject(new Error('it was asked')),
    };
    const error = await failureOf(
      mailerFor({ sender: offline, smtp: { host: '127.0.0.1', port: 1 } }).sendMail(mail()),
    );
    expect(error).toMatchObject({ originalCode: 'ECONNREFUSED' });
  });

  test('the logger that the caller gave sees what it asked for and no more', async () => {
    await activeIp();
    for (const transactionLog of [false, true]) {
      const lines: string[] = [];
      const logger = {
        debug: ({ tnx }: { tnx: string }) => lines.push(tnx),
        info: ({ tnx }: { tnx: string }) => lines.push(tnx),
      };
      await mailerFor({ smtp: { host: sink.host, port: sink.port, logger, transactionLog } }).sendMail(
        mail(),
      );
      expect(lines).toContain('network');
      expect(lines.includes('server') && lines.includes('client')).toBe(transactionLog);
    }
  });
});

describe('several IPs', () => {
  test('a message that no IP can send alone leaves from two, each recipient once, with the same bytes', async () => {
    const [first, second] = [await activeIp({ perHour: 3 }), await activeIp({ perHour: 3 })];
    const info = await mailerFor({ pool: 'marketing' }).sendMail(
      mail(5, { attachments: [{ filename: 'a.txt', content: Readable.from(['read ', 'once']) }] }),
    );
    expect(sink.messages).toHaveLength(2);
    const clients = sink.messages.map(({ client }) => client).sort();
    expect(clients).toEqual([first.address, second.address].sort());
    expect(sink.messages.flatMap(({ recipients }) => recipients).sort()).toEqual(to(5));
    expect(sink.messages[0]!.raw).toBe(sink.messages[1]!.raw);
    expect([await used(first), await used(second)].sort()).toEqual([2, 3]);
    expect(info.accepted).toEqual(to(5));
    expect(info.envelope).toEqual({ from: 'news@example.test', to: to(5) });
    expect(info.parts.map(({ count }) => count)).toEqual([3, 2]);
    expect(info.parts.flatMap(({ accepted }) => accepted)).toEqual(to(5));
  });

  test('when one part fails its recipients are rejected, and those of the other are not lost', async () => {
    const [first, second] = [await activeIp({ perHour: 3 }), await activeIp({ perHour: 3 })];
    sink.behaviour = { mailFrom: (_, client) => (client === first.address ? [451, 'greylisted'] : null) };
    const info = await mailerFor().sendMail(mail(5));
    const failed = info.parts.find(({ ip }) => ip === first.address)!;
    const sent = info.parts.find(({ ip }) => ip === second.address)!;
    expect(info.accepted).toEqual(sent.accepted);
    expect(info.rejected).toEqual(failed.rejected);
    expect([...info.accepted, ...info.rejected].sort()).toEqual(to(5));
    expect(info.rejectedErrors!.map(({ recipient, responseCode }) => [recipient, responseCode])).toEqual(
      failed.rejected.map((recipient) => [recipient, 451]),
    );
    expect(failed).toMatchObject({ response: '451 greylisted', refunded: false });
    expect((await used(first)) + (await used(second))).toBe(5);
  });

  test('a part that reached nobody is given back, alone', async () => {
    const [first, second] = [await activeIp({ perHour: 3 }), await activeIp({ perHour: 3 }, '203.0.113.60')];
    const info = await mailerFor().sendMail(mail(5));
    const failed = info.parts.find(({ ip }) => ip === second.address)!;
    expect(failed).toMatchObject({ accepted: [], response: null, refunded: true });
    expect(info.rejectedErrors![0]).toMatchObject({
      originalCode: 'EADDRNOTAVAIL',
      recipient: failed.rejected[0],
    });
    expect(await used(first)).toBe(info.accepted.length);
    expect(await used(second)).toBe(0);
  });

  test('when all parts fail the error is the one to try again on, and names every recipient', async () => {
    const [first] = [await activeIp({ perHour: 3 }), await activeIp({ perHour: 3 })];
    sink.behaviour = { rcptTo: (_, client) => (client === first.address ? 450 : 550) };
    const error = await failureOf(mailerFor().sendMail(mail(5)));
    expect(error).toMatchObject({ code: 'EENVELOPE', responseCode: 450 });
    expect(error.rejected).toEqual(to(5));
    expect((error.rejectedErrors as { recipient: string }[]).map(({ recipient }) => recipient)).toEqual(
      to(5),
    );
  });

  test('a message that cannot be read is not sent from any, and is given back', async () => {
    const [first, second] = [await activeIp({ perHour: 3 }), await activeIp({ perHour: 3 })];
    const error = await failureOf(
      mailerFor().sendMail(mail(5, { attachments: [{ path: '/nonexistent/file.pdf' }] })),
    );
    expect(error).toMatchObject({ code: 'ENOENT' });
    expect((await used(first)) + (await used(second))).toBe(0);
  });

  test('with a weight each recipient stands for many sends, and none of them is cut in two', async () => {
    const ips = [await activeIp({ perHour: 25 }), await activeIp({ perHour: 37 })];
    const mailer = mailerFor({ weight: () => 10 });
    const info = await mailer.sendMail(mail(5));
    expect(info.accepted).toEqual(to(5));
    expect(info.parts.map(({ count, accepted }) => [count, accepted.length])).toEqual(
      info.parts.map(({ accepted }) => [accepted.length * 10, accepted.length]),
    );
    expect([await used(ips[0]!), await used(ips[1]!)]).toEqual([20, 30]);
    // 12 sends are left, but 5 and 7 make no recipient of 10.
    expect(await failureOf(mailer.sendMail(mail(1)))).toMatchObject({
      name: 'QuotaExhausted',
      retryAfterMs: 1_000,
    });
    expect([await used(ips[0]!), await used(ips[1]!)]).toEqual([20, 30]);
    expect(await failureOf(mailerFor({ weight: () => 0.5 }).sendMail(mail(1)))).toMatchObject({
      param: 'weight',
    });
  });

  test.each([false, true])(
    '50 messages at once over 3 IPs (pool: %s): what was granted is what was sent, given back, or spent on a reply',
    async (pool) => {
      const ips = [
        await activeIp({ perHour: 40 }),
        await activeIp({ perHour: 40 }),
        await activeIp({ perHour: 40 }),
      ];
      const books = { granted: 0, refunded: 0 };
      const booked: Sender = {
        ...sender,
        async take(request) {
          const answer = await sender.take(request);
          for (const { count } of answer.granted) books.granted += count;
          return answer;
        },
        async refund(refunds) {
          const answer = await sender.refund(refunds);
          books.refunded += answer.refunded;
          return answer;
        },
      };
      sink.behaviour = {
        connect: () => (Math.random() < 0.1 ? 'cut' : null),
        mailFrom: () => (Math.random() < 0.1 ? 421 : null),
        rcptTo: () => (Math.random() < 0.1 ? 550 : null),
      };
      const smtp = { host: sink.host, port: sink.port, pool };
      const mailer = mailerFor({ sender: booked, smtp });
      const results = await Promise.allSettled(Array.from({ length: 50 }, () => mailer.sendMail(mail(3))));
      const sum = (counts: Record<string, number>) => Object.values(counts).reduce((a, b) => a + b, 0);
      const infos = results.flatMap((result) => (result.status === 'fulfilled' ? result.value : []));
      const held = results.filter(
        (one) => one.status === 'rejected' && one.reason instanceof QuotaExhausted,
      ).length;
      const usedNow = (await Promise.all(ips.map(used))).reduce((a, b) => a + b);

      expect(held).toBeGreaterThan(0);
      expect(usedNow).toBe(books.granted - books.refunded);
      expect(sum(sink.delivered())).toBe(infos.reduce((all, { accepted }) => all + accepted.length, 0));
      for (const ip of ips) {
        expect(await used(ip)).toBeLessThanOrEqual(40);
        // A pool offers a message again when the receiver ends a connection that it had used before.
        if (!pool) expect(sink.attempted()[ip.address] ?? 0).toBeLessThanOrEqual(await used(ip));
      }
      // Spent and not delivered: those who were refused, and those whose transaction was.
      expect(usedNow).toBeGreaterThanOrEqual(sum(sink.delivered()));
      for (const info of infos) expect(info.accepted.length + info.rejected.length).toBe(3);
    },
  );
});

describe('X-SMTPAPI', () => {
  beforeEach(async () => {
    await createPool(house.tenant, { name: 'transactional' });
    await activeIp({ hostname: 'marketing.example.test' });
    await activeIp({ hostname: 'transactional.example.test', pool: 'transactional' });
  });

  /** Sends with the headers and tells from which pool it left, and the X-SMTPAPI headers that arrived, unfolded. */
  async function sent(headers: SendMailOptions['headers']) {
    await mailerFor({ pool: 'marketing' }).sendMail(mail(1, { headers }));
    const { ehlo, raw } = sink.messages.at(-1)!;
    const head = raw.slice(0, raw.indexOf('\r\n\r\n')).replace(/\r\n(?=[ \t])/g, '');
    const lines = head.split('\r\n').filter((line) => /^x-smtpapi:/i.test(line));
    return { pool: ehlo.split('.')[0], lines: lines.map(decoded) };
  }

  /** Nodemailer writes what is more than words as encoded words (RFC 2047). */
  const decoded = (line: string) =>
    line
      .replace(/\?= =\?/g, '?==?')
      .replace(/=\?UTF-8\?Q\?(.*?)\?=/g, (_, text: string) =>
        text
          .replaceAll('_', ' ')
          .replace(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
      );

  test.each<[string, SendMailOptions['headers'], string, string[]]>([
    ['none', {}, 'marketing', []],
    ['only the pool', { 'X-SMTPAPI': '{"ip_pool": "transactional"}' }, 'transactional', []],
    [
      'other keys stay as they were',
      {
        'x-smtpapi':
          '{"category":["a","b"], "ip_pool":"transactional","id":12345678901234567890, "t":"\\u00e9 \\"ip_pool\\": ,"}',
      },
      'transactional',
      ['X-SMTPAPI: {"category":["a","b"],"id":12345678901234567890, "t":"\\u00e9 \\"ip_pool\\": ,"}'],
    ],
    [
      'an inner ip_pool is not ours',
      { 'X-SMTPAPI': '{"unique_args":{"ip_pool":"transactional"}}' },
      'marketing',
      ['X-SMTPAPI: {"unique_args":{"ip_pool":"transactional"}}'],
    ],
    ['without the key', { 'X-SmtpApi': '{"category":"a"}' }, 'marketing', ['X-SMTPAPI: {"category":"a"}']],
    [
      'folded',
      { 'X-SMTPAPI': '{"category": "a",\r\n "ip_pool":\r\n\t"transactional"}' },
      'transactional',
      ['X-SMTPAPI: {"category": "a"}'],
    ],
    [
      'a list',
      { 'X-SMTPAPI': ['{"category":"a"}', '{"ip_pool":"transactional","b":1}'] },
      'transactional',
      ['X-SMTPAPI: {"category":"a"}', 'X-SMTPAPI: {"b":1}'],
    ],
    ['as key and value', [{ key: 'x-smtpapi', value: '{"ip_pool":"transactional"}' }], 'transactional', []],
    [
      'prepared',
      { 'x-smtpapi': { prepared: true, value: '{"ip_pool":"transactional","to":["a"]}' } },
      'transactional',
      ['X-SMTPAPI: {"to":["a"]}'],
    ],
    [
      'no JSON',
      { 'X-SMTPAPI': '{ip_pool: transactional}' },
      'marketing',
      ['X-SMTPAPI: {ip_pool: transactional}'],
    ],
    ['no object', { 'X-SMTPAPI': '["ip_pool"]' }, 'marketing', ['X-SMTPAPI: ["ip_pool"]']],
  ])('%s', async (_, headers, pool, lines) => {
    expect(await sent(headers)).toEqual({ pool, lines });
  });

  test.each([
    [
      'an unknown pool',
      '{"ip_pool":"typo"}',
      'not_found',
      'X-SMTPAPI asks for ip_pool "typo", and this account has no such pool, so nothing was sent',
    ],
    ['a number', '{"ip_pool":7}', 'invalid', 'X-SMTPAPI has ip_pool 7; it must be the name or id of a pool'],
    ['nothing', '{"ip_pool":""}', 'invalid', 'X-SMTPAPI has ip_pool ""; it must be the name or id of a pool'],
    [
      'null',
      '{"ip_pool":null}',
      'invalid',
      'X-SMTPAPI has ip_pool null; it must be the name or id of a pool',
    ],
  ])('%s fails and goes to no other pool', async (_, value, code, message) => {
    const error = await failureOf(
      mailerFor({ pool: 'marketing' }).sendMail(mail(1, { headers: { 'X-SMTPAPI': value } })),
    );
    expect(error).toMatchObject({ name: 'WarmlineError', code, param: 'ip_pool', message });
    expect(sink.messages).toEqual([]);
  });

  test('two headers that name two pools fail', async () => {
    const headers = { 'X-SMTPAPI': ['{"ip_pool":"marketing"}', '{"ip_pool":"transactional"}'] };
    expect(await failureOf(mailerFor().sendMail(mail(1, { headers })))).toMatchObject({ param: 'ip_pool' });
  });

  test('a default header of the mailer counts, too', async () => {
    const transport = warmlineTransport({
      sender,
      pool: 'marketing',
      smtp: { host: sink.host, port: sink.port },
    });
    const mailer = nodemailer.createTransport(transport, {
      headers: { 'X-SMTPAPI': '{"ip_pool":"transactional"}' },
    });
    cleanUp.push(() => mailer.close());
    await mailer.sendMail(mail());
    expect(sink.messages[0]!.ehlo).toBe('transactional.example.test');
  });
});

describe('behind a relay', () => {
  test('the header tells the relay the IP; the connection and its name are those of the host', async () => {
    const [first, second] = [
      await activeIp({ perHour: 2 }, '203.0.113.70'),
      await activeIp({ perHour: 2 }, '203.0.113.71'),
    ];
    const smtp = { host: sink.host, port: sink.port, name: 'app.example.test' };
    await mailerFor({ header: 'X-Warmline-IP', smtp }).sendMail(
      mail(4, { headers: { 'x-warmline-ip': '203.0.113.99' } }),
    );
    expect(sink.ehloNames()).toEqual({ '127.0.0.1': ['app.example.test'] });
    const headers = sink.messages.map(({ raw }) => raw.match(/^x-warmline-ip:.*$/gim));
    expect(headers.sort()).toEqual([
      [`X-Warmline-IP: ${first.address}`],
      [`X-Warmline-IP: ${second.address}`],
    ]);
    expect(sink.messages.flatMap(({ recipients }) => recipients).sort()).toEqual(to(4));
  });

  test('a raw message gets the header, too', async () => {
    const ip = await activeIp({}, '203.0.113.72');
    const raw = 'From: a@example.test\r\nSubject: raw\r\n\r\nHello.\r\n';
    await mailerFor({ header: 'X-Warmline-IP' }).sendMail({
      raw,
      envelope: { from: 'a@example.test', to: to(1) },
    });
    expect(sink.messages[0]!.raw).toBe(`X-Warmline-IP: ${ip.address}\r\n${raw}`);
  });

  test('deliver is given each share with its grant; what it returns is merged', async () => {
    const [first, second] = [
      await activeIp({ perHour: 2 }, '203.0.113.73'),
      await activeIp({ perHour: 2 }, '203.0.113.74'),
    ];
    const calls: [string, string[]][] = [];
    const info = await mailerFor({
      async deliver(one, grant) {
        const { to: share } = one.message!.getEnvelope();
        calls.push([grant.ip, share]);
        return grant.ip === first.address
          ? { accepted: share, rejected: [], response: '250 kept' }
          : undefined;
      },
    }).sendMail(mail(4));
    expect(calls.map(([ip]) => ip).sort()).toEqual([first.address, second.address]);
    expect(calls.flatMap(([, share]) => share).sort()).toEqual(to(4));
    expect(info.accepted.sort()).toEqual(to(4));
    expect(info.messageId).toMatch(/^<.+>$/);
  });

  test.each([
    ['a failure is spent', new Error('who knows'), 1],
    [
      'refused before anything was said is given back',
      Object.assign(new Error('no'), { code: 'ECONNREFUSED', syscall: 'connect' }),
      0,
    ],
    ['the function says that it reached nobody', Object.assign(new Error('no'), { reached: false }), 0],
    [
      'the function says that it reached somebody',
      Object.assign(new Error('no'), { code: 'ECONNREFUSED', reached: true }),
      1,
    ],
  ])('deliver: %s', async (_, thrown, spent) => {
    const ip = await activeIp();
    const error = await failureOf(mailerFor({ deliver: () => Promise.reject(thrown) }).sendMail(mail()));
    expect(error).toBe(thrown);
    expect(await used(ip)).toBe(spent);
  });

  test('a proxy may stand before a relay, and not before an IP', async () => {
    await activeIp();
    const direct = mailerFor();
    direct.setupProxy('http://127.0.0.1:1');
    expect(await failureOf(direct.sendMail(mail()))).toMatchObject({ param: 'proxy' });
    const relayed = mailerFor({ header: 'X-Warmline-IP' });
    relayed.setupProxy('http://127.0.0.1:1');
    expect(await failureOf(relayed.sendMail(mail()))).toMatchObject({
      message: expect.stringContaining('ECONNREFUSED'),
    });
    expect(sink.messages).toEqual([]);
  });
});

describe('the transport', () => {
  test('in a pool each IP has its own connections, used again and closed with it', async () => {
    const ips = [await activeIp({ pool: null }), await activeIp({ pool: null })];
    const before = sink.connections.total;
    for (const ip of ips) {
      const mailer = mailerFor({ ip: ip.address, smtp: { host: sink.host, port: sink.port, pool: true } });
      for (let sent = 0; sent < 3; sent += 1) await mailer.sendMail(mail());
    }
    expect(sink.connections.total - before).toBe(2);
    expect(sink.connections.open).toBe(2);
    for (const close of cleanUp.splice(0)) await close();
    await expect.poll(() => sink.connections.open).toBe(0);
  });

  test('of too many IPs the one that was unused longest is closed, once its last message is sent', async () => {
    const transports = new SmtpTransports({ host: sink.host, port: sink.port, pool: true }, 2);
    cleanUp.push(() => transports.close());
    const grants = [nextAddress(), nextAddress(), nextAddress()].map((ip) => ({
      ip,
      ipId: 'ip_1',
      count: 1,
      receipt: '',
      hostname: null,
      bind: null,
    }));
    let compiled!: MailMessage;
    const catching = mailerFor({
      deliver: async (one) => {
        compiled = one;
        return {};
      },
      sender: {
        ...sender,
        take: async () => ({
          allowed: true,
          granted: [grants[0]!],
          limit: -1,
          remaining: -1,
          retryAfterMs: 0,
          resetAfterMs: 0,
          because: null,
        }),
      },
    });
    await catching.sendMail(mail());

    let release = () => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    sink.behaviour = { data: ({ client }) => (client === grants[0]!.ip ? held.then(() => null) : null) };
    const first = transports.send(compiled, grants[0]!, {});
    await transports.send(compiled, grants[1]!, {});
    await transports.send(compiled, grants[2]!, {});
    expect(transports.size).toBe(2);
    expect(sink.connections.open).toBe(3);
    release();
    expect(await first).toMatchObject({ info: { accepted: to(1) } });
    await expect.poll(() => sink.connections.open).toBe(2);
  });

  test('verify says whether the server answers, and takes nothing', async () => {
    const ip = await activeIp();
    expect(await mailerFor().verify()).toBe(true);
    await expect(mailerFor({ smtp: { host: '127.0.0.1', port: 1 } }).verify()).rejects.toMatchObject({
      code: 'ESOCKET',
    });
    expect(await used(ip)).toBe(0);
  });

  test.each<[Partial<WarmlineTransportOptions>, string]>([
    [{ ip: '203.0.113.1', pool: 'a' }, 'pool'],
    [{ pool: '' }, 'pool'],
    [{ ip: '203.0.113.1', among: ['203.0.113.1'] }, 'among'],
    [{ among: [] }, 'among'],
    [{ smtp: undefined as never }, 'smtp'],
    [{ deliver: async () => ({}), smtp: { host: 'a' } }, 'smtp'],
    [{ header: 'X Y' }, 'header'],
    [{ maxWaitMs: -1 }, 'maxWaitMs'],
    [{ maxWaitMs: Number.NaN }, 'maxWaitMs'],
    [{ sender: undefined as never }, 'sender'],
  ])('options that make no sense are refused at once: %o', (options, param) => {
    const all = { sender, smtp: { host: 'mx.example.test' }, ...options };
    expect(() => warmlineTransport(all)).toThrow(
      expect.objectContaining({ name: 'WarmlineError', code: 'invalid', param }),
    );
  });
});
