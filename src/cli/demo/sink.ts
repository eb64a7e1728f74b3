/**
 * The receiving side of the demo: a real SMTP server on loopback that takes everything, but for a fault now and then, and
 * counts what it took by the address that it came from. It knows nothing of quotas: it is the witness.
 */
import type { Socket } from 'node:net';
import { SMTPServer, type SMTPServerSession } from 'smtp-server';
import { SENDS_HEADER } from './protocol.ts';

export type Sink = {
  readonly port: number;
  /** Sends that were taken since the last call, by remote address. */
  drain(): Map<string, number>;
  readonly faults: { deferred: number; refused: number; cut: number };
  /** Addresses whose EHLO name was not the one expected, with the name. */
  readonly wrongNames: string[];
  close(): Promise<void>;
};

/** Every so many transactions one goes wrong; primes, so that the three faults seldom meet. */
const DEFER_EVERY = 97;
const REFUSE_EVERY = 61;
const CUT_EVERY = 131;

/** @param names the EHLO name that each address must say */
export async function startSink(names: ReadonlyMap<string, string>): Promise<Sink> {
  const taken = new Map<string, number>();
  const faults = { deferred: 0, refused: 0, cut: 0 };
  const wrongNames = new Set<string>();
  const refusing = new WeakSet<SMTPServerSession>();
  const sockets = new Map<string, Socket>();
  let transactions = 0;

  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['AUTH', 'STARTTLS'],
    disableReverseLookup: true,
    logger: false,
    maxClients: 1000,
    onMailFrom(_from, session, answer) {
      transactions += 1;
      const expected = names.get(session.remoteAddress);
      if (session.hostNameAppearsAs !== expected)
        wrongNames.add(`${session.remoteAddress} said ${session.hostNameAppearsAs}`);
      refusing.delete(session);
      if (transactions % DEFER_EVERY === 0) {
        faults.deferred += 1;
        return answer(Object.assign(new Error('try again later'), { responseCode: 421 }));
      }
      if (transactions % REFUSE_EVERY === 0) refusing.add(session);
      return answer();
    },
    onRcptTo(_to, session, answer) {
      // One recipient of several: the second.
      if (refusing.has(session) && session.envelope.rcptTo.length === 1) {
        refusing.delete(session);
        faults.refused += 1;
        return answer(Object.assign(new Error('no such mailbox'), { responseCode: 550 }));
      }
      return answer();
    },
    onData(stream, session, answer) {
      if (transactions % CUT_EVERY === 0) {
        faults.cut += 1;
        // Before anything was taken, so that both sides know that it was not.
        stream.on('error', () => {});
        sockets.get(`${session.remoteAddress}:${session.remotePort}`)?.destroy();
        return;
      }
      let head = '';
      stream.on('data', (chunk: Buffer) => {
        if (head.length < 16_384) head += chunk.toString('latin1');
      });
      stream.on('end', () => {
        const each = Number(new RegExp(`^${SENDS_HEADER}: (\\d+)\\r?$`, 'im').exec(head)?.[1] ?? 1);
        const sends = session.envelope.rcptTo.length * each;
        taken.set(session.remoteAddress, (taken.get(session.remoteAddress) ?? 0) + sends);
        answer();
      });
    },
  });
  server.server.on('connection', (socket) => {
    const peer = `${socket.remoteAddress}:${socket.remotePort}`;
    sockets.set(peer, socket);
    socket.on('close', () => sockets.delete(peer));
  });
  server.on('error', () => {}); // a connection that was cut; the senders tell of it
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.server.address() as { port: number };

  return {
    port,
    faults,
    get wrongNames() {
      return [...wrongNames];
    },
    drain() {
      const drained = new Map(taken);
      taken.clear();
      return drained;
    },
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
