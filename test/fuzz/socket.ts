/** Requests over a bare socket, where nobody in between puts anything in order: broken HTTP, and paths as they are written. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { HEADERS, METHODS } from './hostile.ts';
import type { Random } from './random.ts';
import type { Request } from './requests.ts';

/** How the bytes of a request are spoilt on the way; `whole`: they are not. */
export const BREAKS = [
  ...[
    'whole',
    'whole',
    'whole',
    'cut',
    'cutChunk',
    'badChunk',
    'longer',
    'shorter',
    'twoLengths',
    'smuggled',
  ],
  ...['negativeLength', 'noVersion', 'oldVersion', 'newVersion', 'nullByte', 'noHost', 'twoHosts', 'folded'],
  ...[
    'manyHeaders',
    'longHeader',
    'badHeader',
    'pipelined',
    'absolute',
    'asterisk',
    'garbage',
    'tls',
    'lineFeeds',
  ],
  ...['expect', 'upgrade', 'reset'],
] as const;
/** `plain`: not even another method. */
export type Break = (typeof BREAKS)[number] | 'plain';

/** The bytes to send. */
export function bytesOf(request: Request, how: Break, random: Random): Buffer {
  const body = Buffer.from(request.body ?? '');
  const headers: [string, string][] = [['host', '127.0.0.1'], ...Object.entries(request.headers)];
  if (body.length > 0) headers.push(['content-length', String(body.length)]);
  let { method, url } = request;
  let version = 'HTTP/1.1';
  let payload: Buffer = body;
  const chunked = (text: string) => {
    drop(headers, 'content-length');
    headers.push(['transfer-encoding', 'chunked']);
    payload = Buffer.from(text);
  };
  const length = (...values: (string | number)[]) => {
    drop(headers, 'content-length');
    for (const value of values) headers.push(['content-length', String(value)]);
  };

  if (how === 'cut') length(body.length + 100);
  else if (how === 'cutChunk') chunked('5\r\n{"a":\r\nff\r\n');
  else if (how === 'badChunk')
    chunked(
      random.pick([
        'zz\r\n{}\r\n0\r\n\r\n',
        '-1\r\n',
        'ffffffffffffffff1\r\n{}',
        '2;x=\u0000\r\n{}\r\n0\r\n\r\n',
      ]),
    );
  else if (how === 'longer') payload = Buffer.concat([body, Buffer.from('x'.repeat(50))]);
  else if (how === 'shorter') length(Math.max(0, body.length - 1));
  else if (how === 'twoLengths') length(body.length, body.length + 1);
  else if (how === 'smuggled')
    headers.push(
      ['transfer-encoding', random.pick(['chunked', 'xchunked', 'chunked, identity'])],
      ['content-length', '4'],
    );
  else if (how === 'negativeLength')
    length(random.pick(['-1', '1e3', '0x10', '99999999999999999999', ' ', '+2']));
  else if (how === 'noVersion') version = '';
  else if (how === 'oldVersion') version = random.pick(['HTTP/1.0', 'HTTP/0.9']);
  else if (how === 'newVersion')
    version = random.pick(['HTTP/2.0', 'HTTP/1.9', 'HTTP/9', 'ICAP/1.0', 'http/1.1']);
  else if (how === 'nullByte') url += '\u0000';
  else if (how === 'noHost') drop(headers, 'host');
  else if (how === 'twoHosts') headers.push(['host', 'evil.example']);
  else if (how === 'folded') headers.push(['x-folded', 'one\r\n two']);
  else if (how === 'manyHeaders') for (let n = 0; n < 2_500; n += 1) headers.push([`x-${n}`, 'y']);
  else if (how === 'longHeader') headers.push(['x-long', 'y'.repeat(random.pick([8_000, 17_000, 70_000]))]);
  else if (how === 'badHeader')
    headers.push(
      random.pick([
        ['bad name', 'x'],
        ['x\u0000y', 'x'],
        ['', 'x'],
        ['x', 'a\u0001b'],
        ['x-a', 'é'],
      ]),
    );
  else if (how === 'absolute')
    url = random.pick([
      `http://evil.example${url}`,
      `https://127.0.0.1${url}`,
      'evil.example:443',
      `file://${url}`,
    ]);
  else if (how === 'asterisk') [method, url] = ['OPTIONS', '*'];
  else if (how === 'expect') headers.push(['expect', random.pick(['100-continue', '417-please'])]);
  else if (how === 'upgrade')
    headers.push(['upgrade', random.pick(['h2c', 'websocket'])], ['connection', 'Upgrade']);
  if (how === 'whole' && random.chance(0.3)) method = random.pick(METHODS);
  if (how === 'whole' && random.chance(0.2)) headers.push([...random.pick(HEADERS)]);
  if (how !== 'upgrade' && how !== 'pipelined') headers.push(['connection', 'close']);

  const head = `${method} ${url} ${version}\r\n${headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
  const whole = Buffer.concat([Buffer.from(head, 'utf8'), payload]);
  if (how === 'garbage')
    return Buffer.from(Array.from({ length: random.int(1, 300) }, () => random.int(0, 255)));
  if (how === 'tls') return Buffer.from('16030100a5010000a10303', 'hex');
  if (how === 'lineFeeds') return Buffer.from(whole.toString('latin1').replaceAll('\r\n', '\n'), 'latin1');
  if (how === 'pipelined') return Buffer.concat([whole, whole, whole]);
  if (how === 'cut' || how === 'reset') return whole.subarray(0, random.int(1, whole.length));
  return whole;
}

/** What the server will read: bytes may name another method and another path than the request from which they were made. */
export function asSent(request: Request, bytes: Buffer): Request {
  const [, method, url] = /^(\S+) (\S+)/.exec(bytes.toString('latin1', 0, 20_000)) ?? [];
  return method && url ? { ...request, method, url } : request;
}

function drop(headers: [string, string][], name: string): void {
  for (let at = headers.length - 1; at >= 0; at -= 1)
    if (headers[at]![0].toLowerCase() === name) headers.splice(at, 1);
}

/**
 * Whole requests with `connection: close`: each is answered, if only by a refusal. The others may rightly be left without a
 * word: their end is missing, or lies elsewhere than they say.
 */
const WELL_FRAMED: ReadonlySet<Break> = new Set<Break>([
  ...(['plain', 'whole', 'absolute', 'asterisk', 'expect', 'oldVersion', 'noHost', 'twoHosts'] as const),
]);
/** Of other methods Node knows some that it hangs up on. */
const ORDINARY = /^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS)$/;

export const isToBeAnswered = ({ method }: Request, how: Break) =>
  WELL_FRAMED.has(how) && ORDINARY.test(method);

/** Who sent half a request may be waited for by the server, and need not wait longer himself. */
const LONGEST_WAIT_MS = 3_000;

export type Received = {
  bytes: Buffer;
  /** The server had not hung up, so we did. */
  isCutOff: boolean;
};

/**
 * Sends the bytes and takes in what is answered until the server hangs up.
 * @param isWhole nothing is missing. Else it is said that no more will come; Node then hangs up before it has answered
 * @param watchMs hangs up so long after the first word, for what goes on for ever
 */
export async function sendRaw(
  port: number,
  bytes: Buffer,
  {
    reset = false,
    isWhole = false,
    waitMs = LONGEST_WAIT_MS,
    watchMs,
  }: { reset?: boolean; isWhole?: boolean; waitMs?: number; watchMs?: number | undefined } = {},
): Promise<Received> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  const received: Buffer[] = [];
  let isCutOff = false;
  const hangUp = () => {
    isCutOff = true;
    socket.destroy();
  };
  const timers = [setTimeout(hangUp, waitMs)];
  socket.on('data', (data) => {
    if (received.length === 0 && watchMs !== undefined) timers.push(setTimeout(hangUp, watchMs));
    received.push(data);
  });
  // A server may hang up on what it does not want to read.
  socket.on('error', () => {});
  const closed = once(socket, 'close').catch(() => {});
  if (reset) socket.write(bytes, () => socket.resetAndDestroy());
  else if (isWhole) socket.write(bytes);
  else socket.end(bytes);
  await closed;
  for (const timer of timers) clearTimeout(timer);
  return { bytes: Buffer.concat(received), isCutOff };
}

export type RawAnswer = { status: number; headers: Record<string, string>; body: string };

/** The answers in what came back, one after the other; what cannot be read as one ends the list as status 0. */
export function answersIn(received: Buffer, method: string): RawAnswer[] {
  const answers: RawAnswer[] = [];
  let rest = received;
  while (rest.length > 0) {
    const end = rest.indexOf('\r\n\r\n');
    const [first = '', ...lines] = rest.subarray(0, Math.max(0, end)).toString('latin1').split('\r\n');
    const [, status] = /^HTTP\/1\.1 (\d{3}) /.exec(first) ?? [];
    if (status === undefined)
      return [...answers, { status: 0, headers: {}, body: rest.toString().slice(0, 2_000) }];
    const headers = Object.fromEntries(
      lines.map((line) => [
        line.slice(0, line.indexOf(':')).toLowerCase(),
        line.slice(line.indexOf(':') + 1).trim(),
      ]),
    );
    rest = rest.subarray(end + 4);
    if (status === '100') continue;
    const isEmpty = method === 'HEAD' || status === '204' || status === '304';
    const { body, left } = isEmpty ? { body: '', left: rest } : bodyIn(rest, headers);
    answers.push({ status: Number(status), headers, body });
    rest = left;
  }
  return answers;
}

function bodyIn(rest: Buffer, headers: Record<string, string>): { body: string; left: Buffer } {
  if (headers['transfer-encoding'] !== 'chunked') {
    const length = Number(headers['content-length'] ?? rest.length);
    return { body: rest.subarray(0, length).toString(), left: rest.subarray(length) };
  }
  let body = '';
  for (let at = 0; ; ) {
    const line = rest.indexOf('\r\n', at);
    const length = line < 0 ? Number.NaN : Number.parseInt(rest.toString('latin1', at, line), 16);
    // An answer that goes on for ever has no last chunk when we hang up.
    if (Number.isNaN(length)) return { body, left: Buffer.alloc(0) };
    body += rest.toString('utf8', line + 2, line + 2 + length);
    at = line + 2 + length + 2;
    if (length === 0) return { body, left: rest.subarray(at) };
  }
}
