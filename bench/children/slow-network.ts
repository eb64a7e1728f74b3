/** A TCP proxy that holds back whatever comes, each way, for so long. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { answerParent } from '../processes.ts';

type Held = { to: Socket; data: Buffer; dueMs: number };

const held: Held[] = [];
let letting = false;
/** Timers of Node know whole milliseconds only, and a busy loop would take the core from Redis: a wait of a tenth at a time. */
const NAP_MS = 0.1;
const nap = new Int32Array(new SharedArrayBuffer(4));

answerParent(async ({ port, oneWayMs }: { port: number; oneWayMs: number }) => {
  const server = createServer((client) => {
    const redis = connect({ host: '127.0.0.1', port, noDelay: true });
    client.setNoDelay(true);
    for (const [from, to] of [
      [client, redis],
      [redis, client],
    ] as const) {
      from.on('data', (data) => {
        held.push({ to, data, dueMs: performance.now() + oneWayMs });
        if (!letting) setImmediate(letThrough);
        letting = true;
      });
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `redis://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

/** All are held equally long, so the first that came is the first that goes. */
function letThrough(): void {
  const nowMs = performance.now();
  while (held.length > 0 && held[0]!.dueMs <= nowMs) {
    const { to, data } = held.shift()!;
    to.write(data);
  }
  letting = held.length > 0;
  if (!letting) return;
  const leftMs = held[0]!.dueMs - performance.now();
  if (leftMs > 0) Atomics.wait(nap, 0, 0, Math.min(leftMs, NAP_MS));
  setImmediate(letThrough);
}
