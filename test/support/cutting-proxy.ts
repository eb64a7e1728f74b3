/** A way to Redis that breaks where a test wants it to: the answer is lost, or the command is, as networks lose them. */
import { once } from 'node:events';
import { type AddressInfo, createServer, connect as dial, type Socket } from 'node:net';

export interface CuttingProxy {
  readonly url: string;
  /** Lets the next script call through to Redis, and cuts the connection when the answer comes back. */
  loseNextAnswer(): void;
  /** Cuts the connection instead of letting the next script call through. */
  loseNextCommand(): void;
  /** Leads to another Redis from now on, as a name does after a failover; what is open breaks. */
  leadTo(port: number): void;
  stop(): void;
}

export async function startCuttingProxy(toPort: number): Promise<CuttingProxy> {
  let port = toPort;
  let lose: 'nothing' | 'answer' | 'command' = 'nothing';
  const open = new Set<Socket>();
  const server = createServer((client) => {
    const redis = dial(port, '127.0.0.1');
    let losingAnswer = false;
    const cut = () => {
      client.destroy();
      redis.destroy();
    };
    for (const socket of [client, redis]) {
      open.add(socket);
      socket.on('error', cut);
      socket.on('close', () => {
        open.delete(socket);
        cut();
      });
    }
    client.on('data', (command) => {
      if (lose !== 'nothing' && /\r\nEVAL/i.test(command.toString('latin1'))) {
        if (lose === 'command') cut();
        else losingAnswer = true;
        lose = 'nothing';
      }
      if (!client.destroyed) redis.write(command);
    });
    redis.on('data', (answer) => {
      if (losingAnswer) cut();
      else client.write(answer);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}`,
    loseNextAnswer() {
      lose = 'answer';
    },
    loseNextCommand() {
      lose = 'command';
    },
    leadTo(otherPort) {
      port = otherPort;
      for (const socket of open) socket.destroy();
    },
    stop() {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}
