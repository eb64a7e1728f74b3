/**
 * The API as the commands see it: where it is, with which key, and its refusals as sentences. What is not said on the
 * command line or in the environment is what `warmline serve` left in its data dir.
 */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { invalid, WarmlineError } from '../warmup/errors.ts';
import { grouped } from '../warmup/words.ts';
import type { page } from '../wire/v1.ts';
import { whileWaiting } from './waiting.ts';

/** Options of every command that asks the API. */
export type ApiOptions = { url?: string; key?: string; json?: boolean };

export function withApi(command: Command): Command {
  return command
    .option('--url <url>', 'where the API is (default: WARMLINE_URL, else that of "warmline serve")')
    .option('--key <key>', 'an API key (default: WARMLINE_API_KEY, else that of "warmline serve")')
    .option('--json', 'what the API answers, for programs');
}

/** For options that count. Commander says which option it was, and ends with 2. */
export function wholeNumber(text: string): number {
  if (!/^[1-9]\d{0,9}$/.test(text)) throw new InvalidArgumentError('Give a whole number, 1 or more.');
  return Number(text);
}

/** The API said no, or nothing. A failure, and no misuse of the command line. */
export class ApiRefusal extends WarmlineError {
  constructor(sentence: string) {
    super('conflict', sentence);
  }
}

type Page<Row> = ReturnType<typeof page<Row>>;

export type Client = {
  readonly url: string;
  get<Answer>(path: string): Promise<Answer>;
  /** What is no JSON. */
  text(path: string): Promise<string>;
  /** @param doing what is said on a terminal while it takes long */
  post<Answer>(path: string, body?: object, doing?: string): Promise<Answer>;
  patch<Answer>(path: string, body: object): Promise<Answer>;
  remove<Answer = undefined>(path: string): Promise<Answer>;
  /** All pages of a list. */
  all<Row>(path: string): Promise<Row[]>;
};

/** Long enough for the largest range; a Redis that hangs is reported by the API itself after 5 s. */
const ANSWERS_WITHIN_MS = 30_000;

/**
 * @param quiet says nothing while it waits
 * @throws WarmlineError when it is not known where the API is, or with which key to ask
 */
export function createClient(
  options: ApiOptions,
  env: NodeJS.ProcessEnv = process.env,
  { quiet = false } = {},
): Client {
  const dataDir = resolve(env.WARMLINE_DATA_DIR?.trim() || '.warmline');
  const url = findUrl(options, env, dataDir);
  const key = findKey(options, env, dataDir);

  const waiting = <Answer>(doing: string | (() => string), work: Promise<Answer>) =>
    quiet ? work : whileWaiting(doing, work);

  async function send(method: string, path: string, body?: object): Promise<string> {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${key.value}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(ANSWERS_WITHIN_MS),
    }).catch((error: unknown) => {
      throw new ApiRefusal(whyUnreachable(error, url));
    });
    const text = await response.text().catch((error: unknown) => {
      throw new ApiRefusal(whyUnreachable(error, url));
    });
    if (response.ok) return text;
    const { message } = (readJson(text) as { error?: { message?: string } } | undefined)?.error ?? {};
    if (!message) throw notWarmline(response.status);
    throw new ApiRefusal(`${message}${whatNext(response.status, path, key.from)}`);
  }

  async function ask<Answer>(method: string, path: string, body?: object): Promise<Answer> {
    const text = await send(method, path, body);
    if (text === '' && method === 'DELETE') return undefined as Answer;
    const answer = readJson(text);
    if (answer === undefined) throw notWarmline(200);
    return answer as Answer;
  }

  const notWarmline = (status: number) =>
    new ApiRefusal(`what answers at ${url} is not Warmline (it says ${status}); check --url`);

  const asking = `waiting for the API at ${url}`;
  return {
    url,
    get: (path) => waiting(asking, ask('GET', path)),
    text: (path) => waiting(asking, send('GET', path)),
    post: (path, body, doing = asking) => waiting(doing, ask('POST', path, body)),
    patch: (path, body) => waiting(asking, ask('PATCH', path, body)),
    remove: (path) => waiting(asking, ask('DELETE', path)),
    all<Row>(path: string) {
      const rows: Row[] = [];
      async function readAll(): Promise<Row[]> {
        for (let cursor: string | null = ''; cursor !== null; ) {
          const from = cursor && `${path.includes('?') ? '&' : '?'}cursor=${encodeURIComponent(cursor)}`;
          const found: Page<Row> = await ask('GET', `${path}${from}`);
          rows.push(...found.data);
          cursor = found.nextCursor;
        }
        return rows;
      }
      return waiting(() => `reading, ${grouped(rows.length)} so far`, readAll());
    },
  };
}

/** What to do about a refusal, where the API cannot know that it was asked from a command line. */
function whatNext(status: number, path: string, keyFrom: string): string {
  if (status === 401)
    return `; the key came from ${keyFrom}, give another one with --key or WARMLINE_API_KEY`;
  if (status !== 404) return '';
  if (path.startsWith('/v1/dedicated-ips/pools/')) return '; see: warmline pools list';
  if (path.startsWith('/v1/dedicated-ips/')) return '; see: warmline ips list';
  if (path.startsWith('/v1/webhooks/')) return '; see: warmline webhooks list';
  if (path.startsWith('/v1/keys/')) return '; see: warmline keys list';
  return '';
}

function findUrl({ url: given }: ApiOptions, env: NodeJS.ProcessEnv, dataDir: string): string {
  const said = given ?? env.WARMLINE_URL?.trim();
  if (said) {
    const isHttp = URL.canParse(said) && ['http:', 'https:'].includes(new URL(said).protocol);
    if (!isHttp) throw invalid('url', `"${said}" is no URL of an API (example: http://127.0.0.1:8080)`);
    return said.replace(/\/+$/, '');
  }
  const file = join(dataDir, 'api.json');
  const { url } = (readJson(readText(file)) ?? {}) as { url?: unknown };
  if (typeof url === 'string') return url.replace(/\/+$/, '');
  throw new ApiRefusal(
    `no Warmline API runs in ${dataDir}; start it with npm start, or name one with --url or WARMLINE_URL`,
  );
}

function findKey({ key: given }: ApiOptions, env: NodeJS.ProcessEnv, dataDir: string) {
  const file = join(dataDir, 'api-key');
  const sources = [
    { value: given, from: '--key' },
    { value: env.WARMLINE_API_KEY?.trim(), from: 'WARMLINE_API_KEY' },
    { value: readText(file)?.trim(), from: file },
  ];
  const found = sources.find(({ value }) => value);
  if (!found?.value) throw invalid('key', `no API key is known; give one with --key or WARMLINE_API_KEY`);
  if (!/^[\x21-\x7e]+$/.test(found.value)) {
    throw invalid('key', `the key from ${found.from} holds blanks or letters that do not fit into a header`);
  }
  return { value: found.value, from: found.from };
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

function readJson(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

function whyUnreachable(error: unknown, url: string): string {
  const { name, cause } = error as Error;
  if (name === 'TimeoutError') return `the API at ${url} did not answer within ${ANSWERS_WITHIN_MS / 1000} s`;
  const { code } = (cause ?? {}) as NodeJS.ErrnoException;
  if (code === 'ENOTFOUND') return `there is no host ${new URL(url).hostname}; check --url`;
  return `no Warmline API answers at ${url}; start it with npm start`;
}
