/**
 * Load over HTTP, as cheap as it can be: it shares a core with Redis, and whatever it costs is taken from there. Connections
 * stay open, each has one request on its way, and every answer is checked.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { percentiles } from '../measure.ts';
import { answerParent } from '../processes.ts';

type Question = { url: string; bodies: string[]; connections: number; key: string; forMs: number };

const open = new Map<string, Socket[]>();

answerParent(async ({ url, bodies, connections, key, forMs }: Question) => {
  const { hostname, port, pathname, host } = new URL(url);
  const sockets = open.get(host) ?? [];
  open.set(host, sockets);
  while (sockets.length < connections) {
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    await once(socket, 'connect');
    sockets.push(socket);
  }
  const requests = bodies.map((body) =>
    Buffer.from(
      `POST ${pathname} HTTP/1.1\r\nhost: ${host}\r\nauthorization: Bearer ${key}\r\n` +
        `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    ),
  );
  const [beganAt, cpuBefore] = [performance.now(), process.cpuUsage()];
  const taken: number[] = [];
  await Promise.all(
    sockets.slice(0, connections).map(async (socket, caller) => {
      for (let turn = caller, from = beganAt; from - beganAt < forMs; turn += connections) {
        from = performance.now();
        socket.write(requests[turn % requests.length]!);
        await wholeAnswer(socket);
        taken.push(performance.now() - from);
      }
    }),
  );
  const seconds = (performance.now() - beganAt) / 1000;
  const { user, system } = process.cpuUsage(cpuBefore);
  return {
    perSecond: taken.length / seconds,
    calls: taken.length,
    busy: (user + system) / 1e6 / seconds,
    ...percentiles(taken),
  };
});

const HEAD_END = Buffer.from('\r\n\r\n');

function wholeAnswer(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    let missing = -1;
    let seen: Buffer = Buffer.alloc(0);
    const end = (error?: Error) => {
      socket.off('data', onData).off('error', end).off('close', onClose);
      if (error) reject(error);
      else resolve();
    };
    const onClose = () => end(new Error('the API closed a connection'));
    const onData = (data: Buffer) => {
      if (missing < 0) {
        seen = seen.length === 0 ? data : Buffer.concat([seen, data]);
        const headEnd = seen.indexOf(HEAD_END);
        if (headEnd < 0) return;
        const head = seen.toString('latin1', 0, headEnd);
        const length = /\r\ncontent-length: (\d+)/i.exec(head)?.[1];
        if (!head.startsWith('HTTP/1.1 200 ') || length === undefined) {
          return end(new Error(`an answer was not 200: ${seen.toString('latin1').slice(0, 300)}`));
        }
        missing = headEnd + 4 + Number(length) - seen.length;
      } else missing -= data.length;
      if (missing <= 0) end();
    };
    socket.on('data', onData).on('error', end).on('close', onClose);
  });
}
