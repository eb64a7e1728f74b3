import { once } from 'node:events';
import type { Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { SMTPServer, type SMTPServerSession } from 'smtp-server';

/**
 * A receiver: a real SMTP server on a loopback address that keeps what it gets, told apart by the address that it came
 * from, and that refuses, defers or hangs up when a test says so.
 */
export interface Sink {
  readonly host: string;
  readonly port: number;
  /** May be changed at any time. */
  behaviour: SinkBehaviour;
  /** What was accepted, in the order in which it came. */
  readonly messages: SinkMessage[];
  /** Recipients of accepted messages by the address of the client: `{ '127.0.10.1': 3 }`. */
  delivered(): Record<string, number>;
  /** Recipients that were named in a RCPT TO, whatever was answered. */
  attempted(): Record<string, number>;
  /** What each client said in EHLO. */
  ehloNames(): Record<string, string[]>;
  /** Connections since the start, and those that are open now. */
  readonly connections: { total: number; open: number };
  /** Forgets what came until now. */
  clear(): void;
  close(): Promise<void>;
}

export interface SinkMessage {
  readonly client: string;
  readonly ehlo: string;
  readonly mailFrom: string;
  readonly recipients: readonly string[];
  /** Headers and body as they came. */
  readonly raw: string;
}

/** `cut` hangs up without a word; a number is an SMTP reply, with a text or without. */
export type SinkAnswer = 'cut' | number | readonly [code: number, text: string] | null | undefined;

/** Each is asked at its step; nothing means yes. `client` is the address of the client. */
export interface SinkBehaviour {
  /** Instead of the greeting. */
  connect?(client: string): SinkAnswer;
  /** When EHLO comes, which only `cut` answers in a way of its own. */
  ehlo?(client: string): 'cut' | null | undefined;
  mailFrom?(address: string, client: string): SinkAnswer;
  rcptTo?(address: string, client: string): SinkAnswer;
  /** When the message is complete. */
  data?(message: SinkMessage): SinkAnswer | Promise<SinkAnswer>;
}

/** @param port 0 is any that is free */
export async function startSink({
  host = '127.0.0.1',
  port = 0,
  behaviour = {},
}: {
  host?: string;
  port?: number;
  behaviour?: SinkBehaviour;
} = {}): Promise<Sink> {
  const messages: SinkMessage[] = [];
  const attempts: string[] = [];
  const hellos: [client: string, name: string][] = [];
  const sockets = new Map<string, Socket>();
  const greetings = new WeakMap<Socket, SinkAnswer>();
  const connections = { total: 0, open: 0 };

  const socketOf = ({ remoteAddress, remotePort }: SMTPServerSession) =>
    sockets.get(`${remoteAddress} ${remotePort}`);

  /** Answers a step of smtp-server, or ends the connection in the place of an answer. */
  function reply(
    answer: SinkAnswer,
    session: SMTPServerSession,
    callback: (error?: Error | null) => void,
  ): void {
    if (answer === null || answer === undefined) callback();
    else if (answer === 'cut') socketOf(session)?.destroy();
    else {
      const [code, said] = typeof answer === 'number' ? [answer, 'says the sink'] : answer;
      callback(Object.assign(new Error(said), { responseCode: code }));
    }
  }

  const server = new SMTPServer({
    disabledCommands: ['AUTH', 'STARTTLS'],
    disableReverseLookup: true,
    logger: false,
    closeTimeout: 100,
    onConnect(session, callback) {
      const socket = socketOf(session);
      reply(socket && greetings.get(socket), session, callback);
    },
    onMailFrom({ address }, session, callback) {
      reply(sink.behaviour.mailFrom?.(address, session.remoteAddress), session, callback);
    },
    onRcptTo({ address }, session, callback) {
      attempts.push(session.remoteAddress);
      reply(sink.behaviour.rcptTo?.(address, session.remoteAddress), session, callback);
    },
    onData(stream, session, callback) {
      const receive = async () => {
        const { mailFrom, rcptTo } = session.envelope;
        const message: SinkMessage = {
          client: session.remoteAddress,
          ehlo: session.hostNameAppearsAs,
          mailFrom: mailFrom ? mailFrom.address : '',
          recipients: rcptTo.map(({ address }) => address),
          raw: await text(stream),
        };
        const answer = await sink.behaviour.data?.(message);
        if (answer === null || answer === undefined) {
          messages.push(message);
          hellos.push([message.client, message.ehlo]);
        }
        reply(answer, session, callback);
      };
      receive().catch(callback);
    },
  });
  // A client that hangs up in the middle is not an error of the sink.
  server.on('error', () => {});
  server.server.on('connection', (socket: Socket) => {
    const client = socket.remoteAddress ?? '';
    const key = `${client} ${socket.remotePort}`;
    connections.total += 1;
    connections.open += 1;
    sockets.set(key, socket);
    socket.on('error', () => {});
    socket.once('close', () => {
      connections.open -= 1;
      sockets.delete(key);
    });
    const greeting = sink.behaviour.connect?.(client);
    greetings.set(socket, greeting);
    if (greeting === 'cut') socket.destroy();
    // The first that a client sends is its EHLO.
    else if (sink.behaviour.ehlo?.(client) === 'cut') socket.once('data', () => socket.destroy());
  });
  server.listen(port, host);
  await once(server.server, 'listening');
  const address = server.server.address();
  if (address === null || typeof address === 'string') throw new Error('the sink has no port');

  const sink: Sink = {
    host,
    port: address.port,
    behaviour,
    messages,
    connections,
    delivered: () => countBy(messages.flatMap(({ client, recipients }) => recipients.map(() => client))),
    attempted: () => countBy(attempts),
    ehloNames() {
      const names: Record<string, string[]> = {};
      for (const [client, name] of hellos) {
        names[client] ??= [];
        if (!names[client].includes(name)) names[client].push(name);
      }
      return names;
    },
    clear() {
      messages.length = attempts.length = hellos.length = 0;
    },
    async close() {
      for (const socket of sockets.values()) socket.destroy();
      await new Promise<void>((resolve) => server.close(resolve));
    },
  };
  return sink;
}

function countBy(keys: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const key of keys) counts[key] = (counts[key] ?? 0) + 1;
  return counts;
}
