/**
 * How the API leaves. First it is quiet: `/readyz` answers 503, so that a load balancer sends nobody here any more, and
 * every answer ends its connection, so that whoever asks again comes to somebody else. Then nobody new is let in, what
 * has been asked is answered, and what asks nothing is closed.
 */
import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import type { Readiness } from './health.ts';

/** A browser opens connections in advance, and Node takes them for busy until something has come over them. */
const SILENT_FOR_MS = 500;
/** What is not answered after this is not going to be: a process has nine seconds in all. */
const ANSWERED_WITHIN_MS = 6_000;

export const LEAVING: Readiness = {
  ok: false,
  problems: ['this process is stopping; send requests to another one'],
};

/** Answers of a server that is about to close: `connection: close` from the moment on, also for what was asked before it. */
export function lastAnswers(leaving: AbortSignal): typeof ServerResponse {
  return class LastAnswer<Request extends IncomingMessage> extends ServerResponse<Request> {
    // biome-ignore lint/suspicious/noExplicitAny: what it is called with is handed on as it comes
    override writeHead(...given: any): this {
      if (leaving.aborted) this.shouldKeepAlive = false;
      return super.writeHead(...(given as [number]));
    }
  };
}

/** Closes what would hold up the end: Fastify closes what is idle, and waits for all others without end. */
export function closeInTime(app: FastifyInstance, log: Logger): void {
  const open = new Set<Socket>();
  app.server.on('connection', (socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
  });
  app.addHook('preClose', async () => {
    void sleep(SILENT_FOR_MS, undefined, { ref: false }).then(() => {
      for (const socket of open) if (socket.bytesRead === 0) socket.destroy();
    });
    void sleep(ANSWERED_WITHIN_MS, undefined, { ref: false }).then(() => {
      if (open.size === 0) return;
      log.warn({ connections: open.size }, 'connections are cut: their requests were not answered in time');
      app.server.closeAllConnections();
    });
  });
}
