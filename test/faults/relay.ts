/** A way to Redis that a fault can be put into: slow, silent, cut in the middle of an answer, or leading elsewhere. */
import { once } from 'node:events';
import { type AddressInfo, createServer, connect as dial, type Socket } from 'node:net';

export interface Relay {
  readonly url: string;
  readonly port: number;
  /** Where new connections lead; those that are open are cut. */
  moveTo(port: number): void;
  /** So much later everything arrives, there and back each; 0 ends it. */
  delay(ms: number): void;
  /** Nothing more is let through in either direction, and nothing is said about it. */
  stall(): void;
  /** Cuts each open connection in the middle of its next answer. */
  cutNextAnswers(): void;
  /** How many connections were cut in the middle of an answer. */
  readonly cuts: number;
  stop(): void;
}

type Pair = { client: Socket; redis: Socket; cutNext: boolean };

export async function startRelay(target: number): Promise<Relay> {
  let [to, delayMs, isStalled, cuts] = [target, 0, false, 0];
  const open = new Set<Pair>();
  const end = (pair: Pair) => {
    open.delete(pair);
    pair.client.destroy();
    pair.redis.destroy();
  };
  // In their order whatever the delay is at the moment: each piece waits for the one before it.
  const pass = (from: Socket, onto: Socket, onData: (bytes: Buffer) => Buffer | null) => {
    let before: Promise<void> = Promise.resolve();
    from.on('data', (bytes) => {
      if (isStalled) return;
      const arrive = () => {
        const rest = onData(bytes as Buffer);
        if (rest && !onto.destroyed && !isStalled) onto.write(rest);
      };
      if (delayMs === 0 && isIdle) return arrive();
      isIdle = false;
      const dueAt = performance.now() + delayMs;
      const mine = before.then(async () => {
        const waitMs = dueAt - performance.now();
        if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
        arrive();
        if (before === mine) isIdle = true;
      });
      before = mine;
    });
    let isIdle = true;
  };
  const server = createServer((client) => {
    const pair: Pair = { client, redis: dial(to, '127.0.0.1'), cutNext: false };
    open.add(pair);
    for (const socket of [client, pair.redis]) {
      socket.setNoDelay(true);
      socket.on('error', () => end(pair));
      socket.on('close', () => end(pair));
    }
    pass(client, pair.redis, (bytes) => bytes);
    pass(pair.redis, client, (bytes) => {
      if (!pair.cutNext) return bytes;
      cuts += 1;
      // Half of the answer is on its way before the line breaks.
      client.end(bytes.subarray(0, bytes.length >> 1));
      pair.redis.destroy();
      open.delete(pair);
      return null;
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    get cuts() {
      return cuts;
    },
    moveTo(next) {
      to = next;
      isStalled = false;
      for (const pair of open) end(pair);
    },
    delay(ms) {
      delayMs = ms;
    },
    stall() {
      isStalled = true;
    },
    cutNextAnswers() {
      for (const pair of open) pair.cutNext = true;
    },
    stop() {
      server.close();
      for (const pair of open) end(pair);
    },
  };
}
