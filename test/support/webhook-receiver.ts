/** A real receiver of webhooks: keeps what came, checks each signature, and answers as the test says. */
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Received = {
  // biome-ignore lint/suspicious/noExplicitAny: tests look into events that they then compare
  event: any;
  body: string;
  headers: IncomingHttpHeaders;
  path: string;
};

export interface Receiver {
  readonly url: string;
  readonly received: Received[];
  /** What the next requests are answered; `hang`: nothing. */
  answer: { status: number; headers?: Record<string, string> } | 'hang';
  close(): Promise<void>;
}

export async function startReceiver(): Promise<Receiver> {
  const received: Received[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString();
    received.push({ event: JSON.parse(body), body, headers: request.headers, path: request.url ?? '' });
    if (receiver.answer === 'hang') return;
    response.writeHead(receiver.answer.status, receiver.answer.headers).end('thank you');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const receiver: Receiver = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hooks`,
    received,
    answer: { status: 200 },
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
  return receiver;
}

/** As the page tells it, in code of its own. */
export function isSigned({ body, headers }: Received, secret: string): boolean {
  const [t = '', ...signatures] = String(headers['warmline-signature']).split(',');
  const wanted = createHmac('sha256', secret)
    .update(`${t.slice(2)}.${body}`)
    .digest('hex');
  const isFresh = Math.abs(Date.now() / 1000 - Number(t.slice(2))) < 300;
  return isFresh && signatures.includes(`v1=${wanted}`);
}
