import { Cluster, Redis } from 'ioredis';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DEFAULT_ACCOUNT, ensureDefaultAccount } from '../../src/fleet/accounts.ts';
import { openDatabase } from '../../src/fleet/database.ts';
import { type Engine, randomId, tenantOf } from '../../src/fleet/engine.ts';
import { bringIps } from '../../src/fleet/inventory.ts';
import { connect, type RedisConnection, type RedisTls } from '../../src/redis/connect.ts';
import { createScripts } from '../../src/redis/scripts.ts';
import { createSender } from '../../src/sender/index.ts';
import { startWorker } from '../../src/worker/worker.ts';
import { bookOf } from '../support/fleet.ts';
import { eventually } from '../support/processes.ts';
import { startClusterNode } from '../support/redis-cluster.ts';
import { freePort, type RedisServer, startRedisServer } from '../support/redis-server.ts';
import { type Authority, type Certificate, createAuthority, OPENSSL } from './certificates.ts';
import { PATIENCE_MS, runWarmline, type WarmlineProcess } from './warmline-process.ts';

// Redis over TLS alone: its plain port is closed once it runs, so that whatever works here is encrypted.

const PASSWORD = 'geheim';
const KEY = 'a-key-of-more-than-20-characters';

describe.skipIf(!OPENSSL)(
  'Redis over TLS (skipped only where there is no OpenSSL 3)',
  { timeout: PATIENCE_MS },
  () => {
    let authority: Authority;
    let client: Certificate;
    let server: RedisServer;
    let url: string;
    let own: RedisConnection;
    let tls: Required<RedisTls>;
    const running: WarmlineProcess[] = [];

    const settings = (signed: Certificate, port: number) => [
      ...['--tls-port', String(port), '--tls-auth-clients', 'optional'],
      ...['--tls-cert-file', signed.certFile, '--tls-key-file', signed.keyFile],
      ...['--tls-ca-cert-file', authority.certFile],
    ];

    beforeAll(async () => {
      authority = createAuthority();
      const signed = authority.sign('redis', 'IP:127.0.0.1,DNS:localhost');
      client = authority.sign('client', 'DNS:client.example');
      tls = { ca: authority.cert, cert: client.cert, key: client.key };
      const port = await freePort();
      server = await startRedisServer({
        config: ['--requirepass', PASSWORD, ...settings(signed, port)],
      });
      url = `rediss://default:${PASSWORD}@127.0.0.1:${port}`;
      own = await connect(url, { tls });
      await own.config('SET', 'port', '0');
    });
    afterAll(async () => {
      for (const one of running) await one.stop();
      own?.disconnect();
      await server?.stop();
      authority?.remove();
    });

    const start = (args: string[], env: Record<string, string>) => {
      const started = runWarmline(args, { REDIS_URL: url, WARMLINE_API_KEY: KEY, ...env });
      running.push(started);
      return started;
    };

    test('without TLS nothing answers', async () => {
      await expect(connect(server.url)).rejects.toThrow(/ECONNREFUSED.*is it running/);
    });

    test('serve with REDIS_CA, and a worker that trusts NODE_EXTRA_CA_CERTS, work; so does a sender', async () => {
      const served = start(['serve'], { REDIS_CA: authority.certFile });
      const [, api] = await served.says(/Warmline answers at (http:[^;"]+);/);
      const worker = start(['worker'], { NODE_EXTRA_CA_CERTS: authority.certFile });
      await worker.says(/running; stop with Ctrl-C/);
      const ask = async (path: string, body: unknown) => {
        const answer = await fetch(`${api}${path}`, {
          method: 'POST',
          headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' },
          body: JSON.stringify(body),
        });
        return (await answer.json()) as Record<string, unknown>;
      };
      await ask('/v1/inventory', { addresses: ['203.0.113.7'], account: 'default' });
      await ask('/v1/dedicated-ips/203.0.113.7/warmup', {});
      expect(await ask('/v1/quota/take', { ip: '203.0.113.7' })).toMatchObject({ allowed: true });

      const sender = await createSender({ redisUrl: url, tls });
      expect(await sender.take({ ip: '203.0.113.7' })).toMatchObject({ allowed: true });
      await sender.close();
      // BullMQ has connections of its own, and a tick done is what it is for.
      await eventually(
        'a tick is done',
        async () => (await own.zcard('warmline:{queue}:sweep:completed')) > 0,
      );
      expect(served.said() + worker.said()).not.toContain(PASSWORD);
    });

    test('whose CA nobody here knows is refused, and so is a name that its certificate has not', async () => {
      await expect(connect(url)).rejects.toThrow(/is not trusted .*certificate.*REDIS_CA/);
      await expect(connect(url, { tls: { ca: client.cert } })).rejects.toThrow(/REDIS_CA/);
      const elsewhere = url.replace('127.0.0.1', '127.0.0.2');
      await own.config('SET', 'bind', '127.0.0.1 127.0.0.2');
      await expect(connect(elsewhere, { tls })).rejects.toThrow(
        /altnames.*the host as its certificate has it/,
      );
    });

    test('certificates without rediss:// are refused in one sentence', async () => {
      const plain = `redis://:${PASSWORD}@127.0.0.1:1`;
      await expect(connect(plain, { tls })).rejects.toThrow(
        'certificates are given, but redis://…@127.0.0.1:1 uses no TLS; write rediss:// or leave them out',
      );
    });

    test('where clients must show a certificate, REDIS_CERT and REDIS_KEY do', async () => {
      await own.config('SET', 'tls-auth-clients', 'yes');
      // Redis says why and hangs up, and which of the two arrives first is chance.
      await expect(connect(url, { tls: { ca: authority.cert } })).rejects.toThrow(
        /wants a certificate of ours that it trusts .*REDIS_CERT|cannot reach Redis/s,
      );
      const certificates = {
        REDIS_CA: authority.certFile,
        REDIS_CERT: client.certFile,
        REDIS_KEY: client.keyFile,
      };
      const worker = start(['worker'], certificates);
      await worker.says(/running; stop with Ctrl-C/);
      const check = start(['check', '--json'], certificates);
      await check.ended;
      expect(check.said()).toContain('"redis');
      expect(check.said()).not.toMatch(/cannot reach|is not trusted|wants a certificate/);
    });

    test('a cluster, and the queue beside it, have the same certificates', async () => {
      const signed = authority.sign('node', 'IP:127.0.0.1');
      const port = await freePort();
      const node = await startClusterNode([
        ...[...settings(signed, port), '--tls-auth-clients', 'yes', '--tls-cluster', 'yes'],
        // Alone it has nobody to tell it its own address.
        ...['--cluster-announce-ip', '127.0.0.1'],
      ]);
      const closing: (() => unknown)[] = [() => node.stop()];
      try {
        const inCluster = node.url
          .replace('redis:', 'rediss:')
          .replace(String(node.port), String(port))
          .replace('//:', '//default:');
        const setup = new Redis(inCluster, { tls });
        closing.push(() => setup.disconnect());
        await setup.cluster('ADDSLOTSRANGE', 0, 16_383);
        await eventually('the slots are served', async () =>
          String(await setup.cluster('INFO')).includes('cluster_state:ok'),
        );
        await setup.config('SET', 'port', '0');
        const redis = await connect(inCluster, { tls });
        closing.push(() => redis.disconnect());
        expect(redis).toBeInstanceOf(Cluster);
        await openDatabase(redis, null);
        const engine: Engine = {
          ...{ scripts: createScripts(redis), book: bookOf(), cooldownMs: 60_000, newId: randomId },
        };
        await ensureDefaultAccount(engine);
        await bringIps(tenantOf(engine, DEFAULT_ACCOUNT, 'test'), {
          addresses: ['10.0.0.1'],
          status: 'active',
        });
        const worker = await startWorker({ engine, redisUrl: inCluster, log: pino({ level: 'silent' }) });
        closing.push(() => worker.stop());
        await eventually(
          'a tick is done',
          async () => (await redis.zcard('warmline:{queue}:sweep:completed')) > 0,
        );
        const sender = await createSender({ redisUrl: inCluster, tls });
        expect(await sender.take({ ip: '10.0.0.1' })).toMatchObject({ allowed: true });
        await sender.close();
      } finally {
        for (const close of closing.reverse()) await close();
      }
    });
  },
);
