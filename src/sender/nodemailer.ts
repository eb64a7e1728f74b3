/**
 * For Nodemailer: every message leaves from an IP that may send it, and from no other.
 *
 *     const mailer = nodemailer.createTransport(
 *       warmlineTransport({ sender, pool: 'marketing', smtp: { host: 'mx.example.net', port: 25 } }),
 *     );
 *     await mailer.sendMail({ from, to, subject, text });     // waits for quota, or fails with QuotaExhausted
 *
 * One send is taken for each recipient of the envelope, all or nothing. The connection leaves from the granted IP and its
 * EHLO says that IP's host name. Recipients for which no receiver was reached are given back; any reply is spent.
 */
import { EventEmitter } from 'node:events';
import { networkInterfaces } from 'node:os';
import { PassThrough, pipeline, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import type { MailMessage, NodemailerError, SentMessageInfo, Transport } from 'nodemailer';
import type { Grant, TakeAnswer } from '../redis/answer.ts';
import type { TakeRequest } from '../redis/limiter.ts';
import { invalid, WarmlineError } from '../warmup/errors.ts';
import type { Sender } from './index.ts';
import { mergeOutcomes, type Outcome, type WarmlineSentInfo } from './nodemailer-result.ts';
import { type GetSocket, neverConnected, type SmtpOptions, SmtpTransports } from './nodemailer-smtp.ts';
import { giveBack, takeFor } from './nodemailer-take.ts';
import { QuotaExhausted } from './quota-exhausted.ts';
import { takeIpPool } from './smtp-api-header.ts';

export type { SentPart, WarmlineSentInfo } from './nodemailer-result.ts';
export type { SmtpOptions } from './nodemailer-smtp.ts';
export { QuotaExhausted, WarmlineError };

export type WarmlineTransportOptions = {
  /** From `createSender`. The transport does not close it. */
  sender: Sender;
  /** All mail leaves from this IP (address or id). */
  ip?: string | undefined;
  /** The pool, by id or name, of messages that name none in `X-SMTPAPI: {"ip_pool": ...}`. Neither: the default pool. */
  pool?: string | undefined;
  /** Only these IPs (addresses or ids, at most 100): those that this host can bind. `local`: all addresses of this machine. */
  among?: readonly string[] | 'local' | undefined;
  family?: 4 | 6 | undefined;

  /**
   * Where to: what Nodemailer takes for SMTP, also `pool: true`. `localAddress` and `name` are those of the granted IP.
   * A message whose pooled connection broke fails instead of being offered again (`maxRequeues` is 0, whatever is given):
   * each attempt takes its own sends.
   */
  smtp?: SmtpOptions | undefined;
  /** For senders behind a relay: the header that tells it the IP (`X-Warmline-IP`). All mail goes to the one in `smtp`. */
  header?: string | undefined;
  /**
   * Sends instead of `smtp`. `mail.message.getEnvelope()` has the recipients that leave from this IP. When it fails its
   * sends are spent, unless the error says that no receiver was reached: `reached: false`, or ECONNREFUSED and its kind.
   */
  deliver?: ((mail: MailMessage, grant: Grant) => Promise<Partial<SentMessageInfo> | undefined>) | undefined;

  /** How long a message may wait for quota. @default 30_000 */
  maxWaitMs?: number | undefined;
  /** Told each time that a message has to wait. */
  onHeld?: ((held: Held) => void) | undefined;
  /** How many sends one recipient stands for; for simulations that bundle the mail of many people. @default 1 */
  weight?: ((mail: MailMessage) => number) | undefined;
};

export type Held = {
  messageId: string;
  recipients: number;
  /** Until it asks again. */
  waitMs: number;
  because: TakeAnswer['because'];
};

/** Pass it to `nodemailer.createTransport`. @throws WarmlineError `invalid` for options that contradict each other */
export function warmlineTransport(options: WarmlineTransportOptions): WarmlineTransport {
  return new WarmlineTransport(options);
}

const DEFAULT_MAX_WAIT_MS = 30_000;
/** The longest time that a timer of Node can wait, 24.8 days. */
const MOST_WAIT_MS = 2 ** 31 - 1;
/** Those who wait for the same instant come back a little apart: up to a tenth later. */
const JITTER = 0.1;
const MOST_AMONG = 100;

export class WarmlineTransport extends EventEmitter implements Transport<WarmlineSentInfo> {
  readonly name = 'Warmline';
  readonly version = '1';
  readonly supportsAbortSignal = true;
  /** Set by Nodemailer. */
  mailer?: Transport<WarmlineSentInfo>['mailer'];
  /** Set by Nodemailer when the mailer has a proxy. */
  getSocket?: GetSocket;

  readonly #options: WarmlineTransportOptions;
  readonly #smtp: SmtpTransports | null;
  /** Ends the wait of each message that waits for quota. */
  readonly #waiting = new Set<() => void>();
  #closed = false;

  constructor(options: WarmlineTransportOptions) {
    super();
    checkOptions(options);
    this.#options = options;
    this.#smtp = options.smtp ? new SmtpTransports(options.smtp) : null;
    this.#smtp?.on('error', (error) => this.emit('error', error));
  }

  send(
    mail: MailMessage<WarmlineSentInfo>,
    callback: (error: NodemailerError | null, info?: WarmlineSentInfo) => void,
  ): void {
    this.#send(mail as MailMessage).then(
      (info) => callback(null, info),
      (error) => callback(error),
    );
  }

  /** Does the server answer? No mail is sent, no quota asked, and no IP bound. */
  verify(callback?: (error: Error | null, success?: true) => void): Promise<true> | undefined {
    const verified = this.#smtp ? this.#smtp.verify() : Promise.resolve<true>(true);
    if (!callback) return verified;
    verified.then((success) => callback(null, success), callback);
    return undefined;
  }

  /** `false` while messages wait for quota. */
  isIdle(): boolean {
    return !this.#closed && this.#waiting.size === 0;
  }

  /** Messages that wait for quota fail; what is being sent is finished, unless `force` is said and `smtp` is pooled. */
  close(options?: { force?: boolean }): void {
    this.#closed = true;
    for (const end of this.#waiting) end();
    this.#smtp?.close(options);
  }

  async #send(mail: MailMessage): Promise<WarmlineSentInfo> {
    const { sender, smtp, header, weight } = this.#options;
    if (this.getSocket && smtp && !header) {
      throw invalid(
        'proxy',
        'a proxy decides which address mail leaves from; use header or deliver to tell it the granted IP',
      );
    }
    const { to } = mail.message!.getEnvelope();
    // As Nodemailer says it, before a send is taken instead of after a connection is made.
    if (to.length === 0) {
      throw Object.assign(new Error('No recipients defined'), { code: 'EENVELOPE', command: 'API' });
    }
    const each = weight?.(mail) ?? 1;
    if (!Number.isInteger(each) || each < 1) {
      throw invalid(
        'weight',
        `weight says that a recipient stands for ${each} sends; it must be a whole number from 1`,
      );
    }

    // Nodemailer leaves an empty header out. Nobody but us tells the relay which IP it is.
    if (header) mail.message!.setHeader(header, '');

    const grants = await this.#take(mail, to.length, each);
    const shares = shareOut(to, grants, each);
    let parts: MailMessage[];
    try {
      parts = await split(mail, shares);
    } catch (error) {
      await giveBack(sender, grants);
      throw error;
    }
    const outcomes = await Promise.all(shares.map((share, index) => this.#deliver(parts[index]!, share)));
    return mergeOutcomes(mail, outcomes);
  }

  /** Waits for quota as long as it may. @throws QuotaExhausted */
  async #take(mail: MailMessage, recipients: number, weight: number): Promise<Grant[]> {
    const { sender, maxWaitMs = DEFAULT_MAX_WAIT_MS, onHeld } = this.#options;
    const { signal } = mail.data;
    const pool = takeIpPool(mail);
    const request = this.#requestFor(pool);
    const endsAtMs = performance.now() + maxWaitMs;
    for (;;) {
      this.#throwIfEnded(signal);
      const answer = await takeFor(sender, request, recipients, weight).catch((error: unknown) => {
        throw pool !== null && isUnknownPool(error) ? unknownIpPool(pool) : error;
      });
      if (answer.allowed) {
        if (!this.#closed && !signal?.aborted) return answer.granted;
        await giveBack(sender, answer.granted);
        this.#throwIfEnded(signal);
      }
      const leftMs = endsAtMs - performance.now();
      const { retryAfterMs, because } = answer;
      if (retryAfterMs === null || retryAfterMs > leftMs) {
        throw new QuotaExhausted(wordsFor(request, recipients * weight), answer);
      }
      const waitMs = Math.min(Math.max(1, retryAfterMs) * (1 + Math.random() * JITTER), leftMs);
      onHeld?.({ messageId: mail.message!.messageId(), recipients, waitMs: Math.ceil(waitMs), because });
      await this.#wait(waitMs, signal);
    }
  }

  /** A pool that the message names goes before ours; of an IP that is ours it may still be asked for. */
  #requestFor(named: string | null): TakeRequest {
    const { ip, pool = undefined, family } = this.#options;
    if (ip !== undefined) return named === null ? { ip, family } : { pool: named, among: [ip], family };
    const among = this.#options.among === 'local' ? localAddresses() : this.#options.among;
    return { pool: named ?? pool, among, family };
  }

  /** Ends early, without an error, when the message is aborted or the transport closed. */
  async #wait(ms: number, signal: AbortSignal | undefined): Promise<void> {
    let end = () => {};
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      end = () => {
        clearTimeout(timer);
        resolve();
      };
      this.#waiting.add(end);
      signal?.addEventListener('abort', end);
    });
    this.#waiting.delete(end);
    signal?.removeEventListener('abort', end);
    if (this.#waiting.size === 0 && !this.#closed) this.emit('idle');
  }

  #throwIfEnded(signal: AbortSignal | undefined): void {
    if (signal?.aborted) {
      const error = new Error('Message sending aborted', { cause: signal.reason });
      error.name = 'AbortError';
      throw Object.assign(error, { code: 'EABORT' });
    }
    if (this.#closed) {
      throw Object.assign(new Error('the transport is closed, so the message was not sent'), {
        code: 'ECONNECTION',
      });
    }
  }

  /** One transaction from one IP. Its failure is an outcome, too, since the other parts go on. */
  async #deliver(mail: MailMessage, { grant, recipients }: Share): Promise<Outcome> {
    const { sender, header, deliver } = this.#options;
    const result = deliver
      ? await callDeliver(deliver, mail, grant)
      : await this.#smtp!.send(
          header ? withHeader(mail, header, grant.ip) : mail,
          header ? null : grant,
          this,
        );
    if ('info' in result) return { grant, recipients, info: result.info, refunded: false };
    const refunded = !result.reached && (await giveBack(sender, [grant]));
    return { grant, recipients, error: result.error, refunded };
  }
}

type Share = { grant: Grant; recipients: string[] };

/** Each IP its recipients, in the order of the envelope. */
function shareOut(to: readonly string[], grants: readonly Grant[], weight: number): Share[] {
  let from = 0;
  return grants.map((grant) => {
    const until = from + grant.count / weight;
    const recipients = to.slice(from, until);
    from = until;
    return { grant, recipients };
  });
}

/**
 * The message for each share: only the envelope differs. Several read the same bytes, since attachments can be streams,
 * and since Date, boundaries and signature would otherwise differ.
 */
async function split(mail: MailMessage, shares: readonly Share[]): Promise<MailMessage[]> {
  const bytes = shares.length > 1 ? await buffer(mail.message!.createReadStream()) : null;
  return shares.map(({ recipients }) => {
    const message = Object.create(mail.message) as NonNullable<MailMessage['message']>;
    // A new one each time, as Nodemailer notes its progress in it.
    message.getEnvelope = () => ({ ...mail.message!.getEnvelope(), to: [...recipients] });
    message.createReadStream = (options) =>
      bytes ? Readable.from([bytes], { objectMode: false }) : mail.message!.createReadStream(options);
    return withMessage(mail, message);
  });
}

/** Above the message, as a trace header: what is signed below it stays as it was. */
function withHeader(mail: MailMessage, header: string, address: string): MailMessage {
  const message = Object.create(mail.message) as NonNullable<MailMessage['message']>;
  message.createReadStream = (options) => {
    const out = new PassThrough();
    out.write(`${header}: ${address}\r\n`);
    // An error of the source reaches whoever reads `out`.
    pipeline(mail.message!.createReadStream(options), out, () => {});
    return out;
  };
  return withMessage(mail, message);
}

const withMessage = (mail: MailMessage, message: NonNullable<MailMessage['message']>) =>
  Object.create(mail, { message: { value: message } }) as MailMessage;

async function callDeliver(
  deliver: NonNullable<WarmlineTransportOptions['deliver']>,
  mail: MailMessage,
  grant: Grant,
) {
  try {
    return { info: (await deliver(mail, grant)) ?? {} };
  } catch (thrown) {
    const error = (thrown instanceof Error ? thrown : new Error(String(thrown))) as NodemailerError & {
      reached?: boolean;
    };
    return { error, reached: error.reached ?? !(error.response === undefined && neverConnected(error)) };
  }
}

/** Link-local addresses need an interface and send no mail. */
function localAddresses(): string[] {
  const addresses = Object.values(networkInterfaces())
    .flatMap((interfaces) => interfaces ?? [])
    .map(({ address }) => address)
    .filter((address) => !/^(fe[89ab]|169\.254\.)/i.test(address));
  if (addresses.length > MOST_AMONG) {
    throw invalid(
      'among',
      `this machine has ${addresses.length} addresses and at most ${MOST_AMONG} can be asked for at once; name those that mail may leave from`,
    );
  }
  return addresses;
}

const isUnknownPool = (error: unknown) =>
  error instanceof WarmlineError && error.code === 'not_found' && error.param === 'pool';

const unknownIpPool = (pool: string) =>
  new WarmlineError(
    'not_found',
    `X-SMTPAPI asks for ip_pool "${pool}", and this account has no such pool, so nothing was sent`,
    { param: 'ip_pool' },
  );

function wordsFor({ ip, pool }: TakeRequest, count: number): string {
  const where = ip ? `IP ${ip}` : pool ? `pool "${pool}"` : 'this account';
  return `${count} ${count === 1 ? 'send' : 'sends'} from ${where}`;
}

function checkOptions(options: WarmlineTransportOptions): void {
  const { sender, ip, pool, among, smtp, header, deliver, maxWaitMs = 0 } = options;
  if (!sender) throw invalid('sender', 'sender is missing; pass what createSender of warmline/sender gives');
  if (ip !== undefined && pool !== undefined) throw invalid('pool', 'name an ip or a pool, not both');
  if (ip === '' || pool === '')
    throw invalid(ip === '' ? 'ip' : 'pool', 'an empty name names nothing; leave it out');
  if (ip !== undefined && among !== undefined)
    throw invalid('among', 'among chooses from a pool; leave it out when an ip is named');
  if (among === 'local') localAddresses();
  else if (among && (among.length === 0 || among.length > MOST_AMONG)) {
    throw invalid('among', `among has ${among.length} IPs; name 1 to ${MOST_AMONG}, or leave it out`);
  }
  if (!smtp === !deliver)
    throw invalid('smtp', 'give either smtp (where to send) or deliver (a function that sends)');
  if (header !== undefined && deliver)
    throw invalid('header', 'header is for a relay in smtp; leave it out with deliver');
  if (header !== undefined && !/^[!-9;-~]{1,76}$/.test(header)) {
    throw invalid('header', `"${header}" is no name of a header (example: X-Warmline-IP)`);
  }
  if (!(maxWaitMs >= 0 && maxWaitMs <= MOST_WAIT_MS)) {
    throw invalid(
      'maxWaitMs',
      `maxWaitMs is ${maxWaitMs}; it must be from 0 (never wait) to ${MOST_WAIT_MS}`,
    );
  }
}
