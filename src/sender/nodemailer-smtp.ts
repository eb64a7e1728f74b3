/**
 * SMTP from the granted IPs: one transport for each, kept while it is used. And the question that the books hang on: when
 * a transaction failed, had a receiver been reached? Nodemailer's error codes do not tell (a connection cut before and
 * after the greeting gives the same ECONNECTION), so the replies of the server are watched.
 */
import { EventEmitter } from 'node:events';
import type { MailMessage, NodemailerError } from 'nodemailer';
import { getLogger, type LogEntry } from 'nodemailer/lib/shared';
import type { SMTPPoolOptions } from 'nodemailer/lib/smtp-pool';
import SMTPPool from 'nodemailer/lib/smtp-pool';
import type { SMTPSentMessageInfo, SMTPTransportOptions } from 'nodemailer/lib/smtp-transport';
import SMTPTransport from 'nodemailer/lib/smtp-transport';
import type { Grant } from '../redis/answer.ts';

/** What Nodemailer takes for SMTP; `pool: true` keeps connections open, for each IP its own. */
export type SmtpOptions = SMTPTransportOptions | SMTPPoolOptions | string;

export type SmtpResult = { info: SMTPSentMessageInfo } | { error: NodemailerError; reached: boolean };

/** The transport that Nodemailer knows, with what it hung on it. */
type Owner = { mailer?: unknown; getSocket?: GetSocket | undefined };
export type GetSocket = SMTPTransport['getSocket'];

type Kept = {
  transport: SMTPTransport | SMTPPool;
  hostname: string | null;
  bind: string | null;
  inFlight: number;
  usedAtMs: number;
  /** Replaced or no longer used: it closes with its last message. */
  retired: boolean;
  replies: number;
};

/** Transports that are kept; past it the one that was unused longest goes. */
export const MOST_KEPT = 1_000;
/** Nodemailer closes an idle connection after 4 minutes; then the transport is of no use either. */
const IDLE_MS = 5 * 60_000;

/** Emits `error` for what Nodemailer's transports emit outside of a message (the renewal of an OAuth2 token). */
export class SmtpTransports extends EventEmitter {
  readonly #options: SMTPTransportOptions | SMTPPoolOptions;
  readonly #most: number;
  /** By the granted address, in the order of their last use; the relay's transport has the empty one. */
  readonly #kept = new Map<string, Kept>();

  constructor(smtp: SmtpOptions, most = MOST_KEPT) {
    super();
    this.#options = typeof smtp === 'string' ? { url: smtp } : smtp;
    this.#most = most;
  }

  /** How many transports are kept, for those who watch their memory. */
  get size(): number {
    return this.#kept.size;
  }

  /**
   * Sends in one SMTP transaction.
   * @param grant the IP that it has to leave from, or `null` for a relay that chooses
   */
  async send(mail: MailMessage, grant: Grant | null, owner: Owner): Promise<SmtpResult> {
    const kept = this.#keep(grant);
    kept.transport.mailer = owner.mailer as SMTPTransport['mailer'];
    // A proxy that was set on the mailer; only a relay can be behind one.
    if (grant === null && owner.getSocket) kept.transport.getSocket = owner.getSocket;
    kept.inFlight += 1;
    try {
      return kept.transport instanceof SMTPPool
        ? await sendPooled(kept, kept.transport, mail)
        : await sendAlone(kept.transport, mail);
    } finally {
      kept.inFlight -= 1;
      kept.usedAtMs = performance.now();
      if (kept.retired && kept.inFlight === 0) kept.transport.close();
    }
  }

  /** Says hello without sending anything, from whatever address the system chooses. */
  verify(): Promise<true> {
    return new SMTPTransport(this.#options).verify() as Promise<true>;
  }

  close(options?: { force?: boolean }): void {
    for (const { transport } of this.#kept.values()) {
      if (transport instanceof SMTPPool) transport.close(options);
      else transport.close();
    }
    this.#kept.clear();
  }

  #keep(grant: Grant | null): Kept {
    const key = grant?.ip ?? '';
    const [hostname, bind] = [grant?.hostname ?? null, grant?.bind ?? null];
    let kept = this.#kept.get(key);
    this.#kept.delete(key);
    if (kept && (kept.hostname !== hostname || kept.bind !== bind)) {
      retire(kept);
      kept = undefined;
    }
    kept ??= this.#open(grant);
    kept.usedAtMs = performance.now();
    this.#kept.set(key, kept);
    this.#retireUnused();
    return kept;
  }

  #retireUnused(): void {
    for (const [key, kept] of this.#kept) {
      const idle = kept.inFlight === 0 && performance.now() - kept.usedAtMs > IDLE_MS;
      if (!idle && this.#kept.size <= this.#most) return;
      this.#kept.delete(key);
      retire(kept);
    }
  }

  #open(grant: Grant | null): Kept {
    const pooled = 'pool' in this.#options && this.#options.pool === true;
    const kept: Kept = {
      // Never a second RCPT TO on one send: a pool of Nodemailer would offer a message up to five times again after its
      // connection broke. Here it fails, and whoever tries again takes again.
      transport: pooled
        ? new SMTPPool({ ...this.#options, maxRequeues: 0 })
        : new SMTPTransport(this.#options),
      hostname: grant?.hostname ?? null,
      bind: grant?.bind ?? null,
      inFlight: 0,
      usedAtMs: 0,
      retired: false,
      replies: 0,
    };
    // After the constructor, since there a URL such as smtp://host?name=x would win.
    const options: SMTPTransportOptions = kept.transport.options;
    if (grant) options.localAddress = grant.bind ?? grant.ip;
    if (grant?.hostname) options.name = grant.hostname;
    if (pooled) watchReplies(options, () => (kept.replies += 1));
    kept.transport.on('error', (error) => this.emit('error', error));
    return kept;
  }
}

function retire(kept: Kept): void {
  kept.retired = true;
  // Closing a pool fails the messages that wait in it.
  if (kept.inFlight === 0) kept.transport.close();
}

/** One connection for one message: whatever the server says is said to this message. */
async function sendAlone(transport: SMTPTransport, mail: MailMessage): Promise<SmtpResult> {
  let replied = false;
  // The same transport (and login), with a logger of its own for this message.
  const watched = Object.create(transport) as SMTPTransport;
  watched.options = { ...transport.options };
  watchReplies(watched.options, () => {
    replied = true;
  });
  const { error, info, begun } = await call(watched, mail);
  return error ? { error, reached: begun || replied || error.response !== undefined } : { info: info! };
}

/**
 * In a pool it is not told which connection a message had. It had none that was reached if it was never begun, and either
 * the error is one that comes before every reply or the pool heard nothing in the meantime. In doubt it is spent.
 */
async function sendPooled(kept: Kept, pool: SMTPPool, mail: MailMessage): Promise<SmtpResult> {
  const repliesBefore = kept.replies;
  const { error, info, begun } = await call(pool, mail);
  if (!error) return { info: info! };
  const heardNothing = neverConnected(error) || kept.replies === repliesBefore;
  return { error, reached: begun || error.response !== undefined || !heardNothing };
}

/** `begun`: the message was asked for its envelope, which happens when a connection is past its EHLO and login. */
function call(transport: SMTPTransport | SMTPPool, mail: MailMessage) {
  let begun = false;
  const message = Object.create(mail.message) as NonNullable<MailMessage['message']>;
  message.getEnvelope = () => {
    begun = true;
    return mail.message!.getEnvelope();
  };
  const watched = Object.create(mail, { message: { value: message } }) as MailMessage<SMTPSentMessageInfo>;
  return new Promise<{ error?: NodemailerError; info?: SMTPSentMessageInfo; begun: boolean }>((resolve) => {
    transport.send(watched, (error, info) => {
      if (error) resolve({ error: inPlainWords(error), begun });
      else resolve({ info: info!, begun });
    });
  });
}

/** Errors that come before the first byte of a server: name not found, no route, refused, timed out, address not ours. */
export function neverConnected({ code, originalCode, syscall, timeoutType }: NodemailerError): boolean {
  return (
    code === 'EDNS' ||
    syscall === 'connect' ||
    syscall === 'bind' ||
    [code, originalCode].includes('ECONNREFUSED') ||
    timeoutType === 'CONNECT_TIMEOUT' ||
    timeoutType === 'GREETING_TIMEOUT'
  );
}

/** "bind EADDRNOTAVAIL 203.0.113.7" is right, but says nothing about what to do. */
function inPlainWords(error: NodemailerError): NodemailerError {
  if (error.syscall !== 'bind' || error.originalCode !== 'EADDRNOTAVAIL') return error;
  const { address } = error as { address?: string };
  const plain = new Error(
    `${address} is not an address of this machine, so nothing was sent; name the IPs that it has with among, or among: 'local'`,
    { cause: error },
  );
  const { code, originalCode, syscall, command } = error;
  return Object.assign(plain, { code, originalCode, syscall, address, command }) as NodemailerError;
}

/** The log of the transaction is where Nodemailer tells each reply; the caller's own logger gets what it asked for. */
function watchReplies(options: SMTPTransportOptions, onReply: () => void): void {
  const theirs = getLogger({ logger: options.logger });
  const wanted = options.debug || options.transactionLog;
  const watching = Object.fromEntries(
    (['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const).map((level) => [
      level,
      (entry: LogEntry, ...args: [string]) => {
        if (entry.tnx === 'server') onReply();
        if (wanted || (entry.tnx !== 'server' && entry.tnx !== 'client')) theirs[level](entry, ...args);
      },
    ]),
  );
  Object.assign(options, { logger: watching, transactionLog: true });
}
