/** What a fuzz run takes for a mistake of the server when it gets no answer, and what not. */
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { randomFrom } from './random.ts';
import type { Request } from './requests.ts';
import { type Drawn, send } from './send.ts';
import { type Break, bytesOf } from './socket.ts';
import type { Stage } from './stage.ts';

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close().closeAllConnections();
});

async function stageWith(answer: RequestListener): Promise<Stage> {
  const server = createServer(answer);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const app = { inject: () => new Promise(() => {}) };
  return { app, port: (server.address() as AddressInfo).port } as unknown as Stage;
}
const hangs: RequestListener = () => {};
const hangsUp: RequestListener = (request) => void request.socket.destroy();

const REQUEST: Request = {
  ...{ kind: 'socket', caller: 'owner', method: 'POST', url: '/v1/quota/take' },
  ...{ headers: { 'content-type': 'application/json' }, body: '{"ip":"203.0.113.0"}' },
};
const WITHIN_MS = 300;

function drawnAs(how: Break, change: Partial<Request> = {}): Drawn {
  const request = { ...REQUEST, ...change };
  // As `whole` without another method or header, which are drawn too.
  const bytes = bytesOf(request, how === 'whole' ? 'plain' : how, randomFrom(7));
  return { at: 1, request, times: 1, bytes: { how, bytes } };
}

test('an answer that takes a moment is waited for', async () => {
  const slow: RequestListener = (_, response) => void sleep(100).then(() => response.end('ok'));
  const { answers, silence } = await send(await stageWith(slow), drawnAs('whole'), WITHIN_MS);
  expect(answers).toMatchObject([{ status: 200, body: 'ok' }]);
  expect(silence).toBeNull();
});

test.each<[what: string, server: RequestListener, says: string]>([
  ['a hang', hangs, 'there was no answer within 0.3 s'],
  ['a connection that ends', hangsUp, 'the connection ended without an answer'],
])('%s after a whole request is a mistake', async (_, server, says) => {
  const stage = await stageWith(server);
  for (const how of ['whole', 'plain', 'oldVersion'] as const)
    expect(await send(stage, drawnAs(how), WITHIN_MS), how).toMatchObject({ answers: [], silence: says });
});

const begins: RequestListener = (_, response) => {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.write('{"data":');
};
const beginsAndSaysHowMuch: RequestListener = (_, response) => {
  response.writeHead(200, { 'content-length': 100 });
  response.write('{"data":');
};
/** Although the request said that it wants the connection closed. */
const keepsConnection: RequestListener = (_, response) =>
  void response.setHeader('connection', 'keep-alive').end('ok');

test.each<[what: string, server: RequestListener]>([
  ['a hang in the middle of an answer', begins],
  ['a hang before as much came as was said', beginsAndSaysHowMuch],
  ['a connection that is kept', keepsConnection],
])('%s is a mistake', async (_, server) => {
  const stage = await stageWith(server);
  for (const how of ['whole', 'plain'] as const) {
    const { answers, silence } = await send(stage, drawnAs(how), WITHIN_MS);
    expect(answers, how).toMatchObject([{ status: 200 }]);
    expect(silence, how).toBe('the answer did not end within 0.3 s');
  }
});

test.each<[what: string, how: Break, change?: Partial<Request>]>([
  ['was cut off', 'cut'],
  ['is longer than it says', 'shorter'],
  ['is reset', 'reset'],
  ['has a method that Node hangs up on', 'whole', { method: 'CONNECT' }],
  ['is larger than what a refusal waits for', 'whole', { body: 'x'.repeat(100_000) }],
])('no answer to what %s is none', async (_, how, change) => {
  expect((await send(await stageWith(hangsUp), drawnAs(how, change), WITHIN_MS)).silence).toBeNull();
});

test('what goes on for ever is watched for a moment, and must begin', async () => {
  const goesOn: RequestListener = (_, response) => void response.write('data: 1\n\n');
  const live = drawnAs('plain', { method: 'GET', url: '/live', body: undefined });
  expect(await send(await stageWith(goesOn), live, WITHIN_MS)).toMatchObject({
    answers: [{ status: 200 }],
    silence: null,
  });
  expect((await send(await stageWith(hangs), live, WITHIN_MS)).silence).toMatch(/no answer within/);
});

test('what goes on for ever goes by what it says of itself where its path hides it', async () => {
  const goesOn: RequestListener = (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: 1\n\n');
  };
  const hidden = drawnAs('plain', { method: 'GET', url: '/%6cive', body: undefined });
  expect(await send(await stageWith(goesOn), hidden, WITHIN_MS)).toMatchObject({
    answers: [{ status: 200 }],
    silence: null,
  });
});

test('a hang of what is injected ends, and is a mistake', async () => {
  const drawn: Drawn = { at: 1, request: { ...REQUEST, kind: 'valid' }, times: 2 };
  expect(await send(await stageWith(hangs), drawn, WITHIN_MS)).toMatchObject({
    answers: [],
    silence: 'it was not answered within 0.3 s',
  });
});
