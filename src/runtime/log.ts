import { type DestinationStream, type Logger, pino } from 'pino';
import { prettyFactory } from 'pino-pretty';
import type { LogLevel } from './config.ts';

/**
 * One log for the whole process: lines for people on a terminal, JSON for machines. What must never be in a log is taken out
 * twice: fields with a telling name are covered, and the finished line is searched for secrets inside sentences, as the
 * messages of errors quote URLs and headers.
 */
export function createLog(options: {
  readonly level: LogLevel;
  /** Lines for people; unless said, if stdout is a terminal. */
  readonly pretty?: boolean;
  /** Where lines go; stdout unless said. */
  readonly stream?: DestinationStream;
}): Logger {
  const { level, pretty = process.stdout.isTTY === true } = options;
  const stream = options.stream ?? pino.destination({ dest: 1, sync: true });
  return pino(
    {
      level,
      redact: { paths: SECRET_PATHS, censor: '***' },
      hooks: { streamWrite: coverSecrets },
    },
    pretty ? forPeople(stream) : stream,
  );
}

/** Takes the secrets out of any text: passwords in Redis URLs, bearer keys. */
export function coverSecrets(text: string): string {
  return (
    text
      // Up to the last @ before a blank or quote: a password may hold an @, and covering too much is harmless.
      .replace(/\b(rediss?:\/\/)[^\s"'\\]*@/gi, '$1***@')
      .replace(/\b(Bearer|Basic)(\s+)[\w.~+/=-]{8,}/gi, '$1$2***')
  );
}

const SECRET_NAMES = ['authorization', 'Authorization', 'apiKey', 'api_key', 'key', 'password', 'cookie'];
/** pino redacts by path, and a * stands for one level: a field of the line, of an object in it, and of one deeper. */
const SECRET_PATHS = [
  ...SECRET_NAMES.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]),
  ...['', '*.', '*.*.'].map((above) => `${above}["x-api-key"]`.replace('.[', '[')),
  'WARMLINE_API_KEY',
  '*.WARMLINE_API_KEY',
];

function forPeople(stream: DestinationStream): DestinationStream {
  const inWords = prettyFactory({
    colorize: process.stdout.isTTY === true && !process.env.NO_COLOR,
    translateTime: 'SYS:HH:MM:ss',
    ignore: 'pid,hostname',
  });
  return { write: (line) => stream.write(inWords(JSON.parse(line))) };
}
