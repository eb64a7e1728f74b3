/** The real API on a port of its own with a client of it, and a server that misbehaves as a test tells it. */
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Warmline, type WarmlineOptions } from '../../src/client/index.ts';
import { ADMIN_KEY, type Api, startApi } from '../http/support.ts';

export interface Served extends Api {
  readonly url: string;
  readonly client: Warmline;
}

export async function serveApi(options: Parameters<typeof startApi>[0] = {}): Promise<Served> {
  const api = await startApi(options);
  const url = await api.app.listen({ host: '127.0.0.1', port: 0 });
  return { ...api, url, client: new Warmline({ baseUrl: url, apiKey: ADMIN_KEY }) };
}

export type Seen = { method: string; url: string; headers: IncomingHttpHeaders; body: string };
export type Behaviour = (response: ServerResponse, request: IncomingMessage, seen: Seen) => void;

export const json =
  (status: number, body: unknown, headers: Record<string, string> = {}): Behaviour =>
  (response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
  };
export const refusal = (status: number, code: string, headers: Record<string, string> = {}) =>
  json(status, { error: { code, message: `refused: ${code}`, param: null, details: {} } }, headers);
/** Hangs up before it has said a word. */
export const drop: Behaviour = (_response, request) => request.socket.destroy();
/** Hangs up in the middle of its answer. */
export const breakOff: Behaviour = (response, request) => {
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': '100' });
  response.write('{"id":', () => request.socket.destroy());
};
/** Takes the request and never answers. */
export const hang: Behaviour = () => {};

/** Behaves once after the other as it is told, and the last way from then on. */
export async function startMisbehaving() {
  const seen: Seen[] = [];
  let script: Behaviour[] = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const asked = { method: request.method!, url: request.url!, headers: request.headers, body };
    seen.push(asked);
    const behave = script.length > 1 ? script.shift()! : script[0]!;
    behave(response, request, asked);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    seen,
    client: (options: WarmlineOptions = {}) =>
      new Warmline({ baseUrl: url, apiKey: 'wl_secret_key', ...options }),
    behave(...behaviours: Behaviour[]) {
      seen.length = 0;
      script = behaviours;
    },
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
