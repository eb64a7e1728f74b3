/** Sends what was drawn, through the front of the server or over a socket, and tells it so that people can send it again. */
import type { Answer } from './checks.ts';
import { ANSWERED_WITHIN_MS, inTime, NoAnswer } from './in-time.ts';
import type { Request } from './requests.ts';
import { answersIn, type Break, isToBeAnswered, sendRaw } from './socket.ts';
import type { Stage } from './stage.ts';

/** `bytes`: what goes over a socket as it is. `times`: so many at once. */
export type Drawn = { at: number; request: Request; times: number; bytes?: { how: Break; bytes: Buffer } };

/** So long a page that goes on for ever is watched. */
const LIVE_MS = 100;

export const movesClock = ({ caller, url }: Request) => caller === 'operator' && url.includes('test-clock');

export const isLive = ({ url }: Request) => url.startsWith('/live');

export type Sent = {
  answers: Answer[];
  ms: number;
  /** What is wrong where an answer is missing. */
  silence: string | null;
};

export async function send(stage: Stage, drawn: Drawn, withinMs = ANSWERED_WITHIN_MS): Promise<Sent> {
  const begunMs = performance.now();
  const { bytes, request } = drawn;
  const sent = bytes
    ? await overSocket(stage, request, bytes, withinMs)
    : await injected(stage, drawn, withinMs);
  return { ...sent, ms: performance.now() - begunMs };
}

type Heard = Omit<Sent, 'ms'>;

/** So much arrives at once. A refusal of more may be lost on its way, as the rest is still coming when the server hangs up. */
const ARRIVES_AT_ONCE = 16 * 1024;

async function overSocket(
  { port }: Stage,
  request: Request,
  { how, bytes }: NonNullable<Drawn['bytes']>,
  withinMs: number,
): Promise<Heard> {
  const isWhole = isToBeAnswered(request, how);
  const received = await sendRaw(port, bytes, {
    ...{ reset: how === 'reset', isWhole },
    ...(isWhole ? { waitMs: withinMs } : {}),
    ...(isLive(request) ? { watchMs: LIVE_MS } : {}),
  });
  const answers = answersIn(received.bytes, request.method);
  if (!isWhole) return { answers, silence: null };
  if (received.isCutOff) return { answers, silence: whenCutOff(request, answers, withinMs) };
  if (answers.length > 0) return { answers, silence: null };
  const isLost = bytes.length <= ARRIVES_AT_ONCE;
  return { answers, silence: isLost ? 'the connection ended without an answer' : null };
}

/** Whole requests ask for the connection to be closed, so an answer has ended when the server has hung up. */
function whenCutOff(request: Request, answers: readonly Answer[], withinMs: number): string | null {
  if (answers.length === 0) return `there was no answer within ${withinMs / 1000} s`;
  // A path may hide what goes on for ever (`/%6cive`, `http://a.example/live`); what is answered says so of itself.
  const goesOn = isLive(request) || answers.some(isStream);
  return goesOn ? null : `the answer did not end within ${withinMs / 1000} s`;
}

const isStream = ({ headers }: Answer) => String(headers['content-type']).startsWith('text/event-stream');

async function injected({ app }: Stage, { request, times }: Drawn, withinMs: number): Promise<Heard> {
  const { method, url, headers, body } = request;
  const payload = body === undefined ? {} : { payload: body };
  const answers: Answer[] = [];
  let silence: string | null = null;
  const inject = async () => {
    try {
      const asked = app.inject({ method: method as 'GET', url, headers, ...payload });
      const answer = await inTime('it', asked, withinMs);
      answers.push({ status: answer.statusCode, headers: answer.headers, body: answer.body });
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      silence = error.message;
    }
  };
  await Promise.all(Array.from({ length: times }, inject));
  return { answers, silence };
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
