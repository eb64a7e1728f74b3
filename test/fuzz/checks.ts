/** What must be true of every answer and of every line of the log, whatever was asked. */
import { ErrorAnswer, ErrorAnswerV3 } from '../../src/wire/errors.ts';
import { mistakesIn } from '../http/described.ts';
import type { Request } from './requests.ts';
import type { Stage } from './stage.ts';

export type Answer = { status: number; headers: Record<string, unknown>; body: string };

/** A refusal says what is wrong; who gets megabytes back has found a way to fill a line. */
const LONGEST_REFUSAL = 32 * 1024;

/** Where the program lies, a frame of a stack, a file of it: nobody outside learns of these. */
const INSIDE =
  /\n\s+at |\bat [\w.<>]+ \(|node:internal|node_modules|\/src\/\w+\/|\.(ts|js):\d+:\d+|\/(root|home|tmp|usr|app)\/\w+/;
const POLICY = /^default-src 'none';.*form-action 'self'.*frame-ancestors 'none'/;

/** @returns sentences; none when all is well */
export async function faultsOf(stage: Stage, request: Request, answer: Answer): Promise<string[]> {
  const { status, headers, body } = answer;
  const faults: string[] = [];
  if (status === 0) return [`the answer is no HTTP: ${body.slice(0, 200)}`];
  if (status >= 500 && status !== 503) faults.push(`it was answered ${status}`);
  if (status === 503 && headers['retry-after'] === undefined)
    faults.push('a 503 does not say when to come again');

  const type = String(headers['content-type'] ?? '');
  if (request.method !== 'HEAD') {
    if (type.startsWith('application/json')) faults.push(...(await faultsOfJson(stage, request, answer)));
    else if (status >= 400 && !type.startsWith('text/html')) faults.push(`a refusal came as "${type}"`);
  }
  if (type.startsWith('text/html')) faults.push(...faultsOfPage(request, answer));
  if (status >= 400 && body.length > LONGEST_REFUSAL) faults.push(`a refusal has ${body.length} characters`);

  const head = JSON.stringify(headers);
  if (INSIDE.test(body) && !comesBack(request, INSIDE.exec(body)![0]))
    faults.push(`it tells "${INSIDE.exec(body)![0]}"`);
  for (const [secret, what] of stage.secrets) {
    if (body.includes(secret)) faults.push(`it tells ${what}`);
    if (head.includes(secret)) faults.push(`a header tells ${what}`);
  }
  if (/x-evil/i.test(Object.keys(headers).join())) faults.push('a header came out of the request');
  return faults;
}

async function faultsOfJson(
  { app }: Stage,
  { kind, method, url }: Request,
  { status, headers, body }: Answer,
): Promise<string[]> {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    return [`it is called JSON and is none: ${body.slice(0, 200)}`];
  }
  // Of what never became a request nobody knows to whom it spoke: what was cut off before its end names no path.
  if (kind === 'socket' && headers['x-request-id'] === undefined && [400, 408, 417, 431].includes(status)) {
    const isRefusal = ErrorAnswer.safeParse(json).success || ErrorAnswerV3.safeParse(json).success;
    return isRefusal ? [] : ['the refusal has the shape of neither dialect'];
  }
  const faults = await mistakesIn(app, { method, url, status, body });
  if (status >= 400 && !isHealth(url)) {
    const shapes = /^\/+v3(\/|\?|$)/.test(url) ? ErrorAnswerV3 : ErrorAnswer;
    if (!shapes.safeParse(json).success) faults.push('the refusal is not in the shape of its dialect');
    const { error, errors } = json as { error?: { message?: unknown }; errors?: { message: unknown }[] };
    for (const message of [error?.message ?? '', ...(errors ?? []).map((one) => one.message)]) {
      if (typeof message === 'string' && /[\r\n]/.test(message))
        faults.push('the sentence of a refusal has more than one line');
    }
  }
  return faults;
}

/** `/readyz` answers what it found, and not a refusal. */
const isHealth = (url: string) => /^\/(healthz|readyz)/.test(url);

function faultsOfPage({ url }: Request, { headers, body }: Answer): string[] {
  const faults: string[] = [];
  const policy = String(headers['content-security-policy'] ?? '');
  // The page of the API's reference has a policy of its own, by the hash of its style.
  if (!POLICY.test(policy) && !(url.startsWith('/docs') && policy.includes("default-src 'none'")))
    faults.push(`a page without its Content-Security-Policy: "${policy}"`);
  if (headers['x-content-type-options'] !== 'nosniff') faults.push('a page without nosniff');
  if (/<script>fz7|<img src=x onerror|' onmouseover='fz7/.test(body))
    faults.push('what was sent stands in the page as HTML');
  return faults;
}

/** What a request says itself may be said back to it. */
function comesBack({ url, body = '' }: Request, found: string): boolean {
  const said = `${url} ${body}`;
  return said.includes(found) || safelyDecoded(said).includes(found);
}

function safelyDecoded(text: string): string {
  return text.replace(/(%[0-9a-f]{2})+/gi, (part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
}

/** Of the lines that a request left in the log. */
export function faultsOfLog(stage: Stage, lines: readonly string[]): string[] {
  const faults: string[] = [];
  for (const line of lines) {
    for (const [secret, what] of stage.secrets)
      if (line.includes(secret)) faults.push(`the log tells ${what}: ${line.trim()}`);
    if (/"stack":|\\n\s+at /.test(line)) faults.push(`the log has the stack of a failure: ${line.trim()}`);
    if (line.trim().includes('\n')) faults.push(`one entry of the log has two lines: ${line.trim()}`);
  }
  return faults;
}
