/** Sends what was drawn, through the front of the server or over a socket, and tells it so that people can send it again. */
import type { Answer } from './checks.ts';
import type { Request } from './requests.ts';
import { answersIn, type Break, sendRaw } from './socket.ts';
import type { Stage } from './stage.ts';

/** `bytes`: what goes over a socket as it is. `times`: so many at once. */
export type Drawn = { at: number; request: Request; times: number; bytes?: { how: Break; bytes: Buffer } };

/** So long a page that goes on for ever is watched. */
const LIVE_MS = 100;

export const movesClock = ({ caller, url }: Request) => caller === 'operator' && url.includes('test-clock');

export const isLive = ({ url }: Request) => url.startsWith('/live');

export async function send(
  stage: Stage,
  { request, times, bytes }: Drawn,
): Promise<{ answers: Answer[]; ms: number }> {
  const begunMs = performance.now();
  const answers = bytes
    ? answersIn(
        await sendRaw(stage.port, bytes.bytes, {
          reset: bytes.how === 'reset',
          ...(isLive(request) ? { waitMs: LIVE_MS } : {}),
        }),
        request.method,
      )
    : await injected(stage, request, times);
  return { answers, ms: performance.now() - begunMs };
}

async function injected({ app }: Stage, request: Request, times: number): Promise<Answer[]> {
  const { method, url, headers, body } = request;
  const answers = await Promise.all(
    Array.from({ length: times }, () =>
      app.inject({ method: method as 'GET', url, headers, ...(body === undefined ? {} : { payload: body }) }),
    ),
  );
  return answers.map((answer) => ({
    status: answer.statusCode,
    headers: answer.headers,
    body: answer.body,
  }));
}

const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;

const LONGEST_TOLD = 4_000;
const cut = (text: string) =>
  text.length > LONGEST_TOLD ? `${text.slice(0, LONGEST_TOLD)}… (${text.length} characters)` : text;

export function asCommand(stage: Stage, { request, bytes, times }: Drawn): string {
  if (bytes)
    return cut(
      `echo ${bytes.bytes.toString('base64')} | base64 -d | nc 127.0.0.1 ${stage.port} # ${bytes.how}`,
    );
  const { method, url, headers, body } = request;
  const parts = Object.entries(headers).map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`);
  const data = body === undefined ? [] : [`--data-binary ${quoted(body.toString())}`];
  const words = ['curl', '-i', '--path-as-is', '-X', method, quoted(`http://127.0.0.1:${stage.port}${url}`)];
  return cut(`${[...words, ...parts, ...data].join(' ')}${times > 1 ? ` # ${times} at once` : ''}`);
}

export const asText = ({ status, headers, body }: Answer) =>
  cut(`${status} ${JSON.stringify(headers)}\n${body}`);
