import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';

/**
 * How a process ends in order: what was started last stops first, so that nothing stops before those who still need it, and
 * Redis, started first, stops last. On SIGTERM or SIGINT; or when the program itself says `stop`.
 */
export interface Shutdown {
  /** What to do for this part when the process ends. A part that comes while stopping is stopped as well, at once. */
  add(name: string, stop: () => Promise<void>): void;
  /**
   * Before an orderly end stops its first part, everything works on for so long. When something broke there is no such
   * time, and one that has begun is over: nothing useful would be done in it, and it puts off the next start.
   */
  quietFor(ms: number, onBegin: () => void): void;
  /**
   * Stops everything once and answers with the exit code: 0, or 1 if `failed`, or if a part could not be stopped in time.
   * Does not end the process; calls after the first get the same answer.
   */
  stop(because: string, options?: { failed?: boolean }): Promise<number>;
  /** Stops everything, then ends the process. */
  exit(because: string, options?: { failed?: boolean }): Promise<void>;
  /** Aborted when stopping begins, for whoever is still starting or waiting. */
  readonly signal: AbortSignal;
}

export interface ShutdownOptions {
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
  /** For all parts together, after the time of quiet. Supervisors kill after 10 s (docker) to 90 s (systemd). */
  readonly deadlineMs: number;
  /** The signals to obey; none in tests. */
  readonly signals?: readonly NodeJS.Signals[];
  readonly exit?: (code: number) => void;
}

/**
 * npm hands a Ctrl-C on that the terminal has already sent to the whole group, so one key press arrives twice within
 * milliseconds. Only a signal that comes later is a second wish.
 */
const ECHO_MS = 500;

export function createShutdown(options: ShutdownOptions): Shutdown {
  const { log, deadlineMs, signals = ['SIGTERM', 'SIGINT'], exit = process.exit } = options;
  const parts: { name: string; stop: () => Promise<void> }[] = [];
  const begun = new AbortController();
  const broken = new AbortController();
  let beQuiet = async () => {};
  let stopped: Promise<number> | undefined;
  let failures = 0;
  let firstSignalAtMs: number | undefined;

  async function stopAll(because: string): Promise<number> {
    log.info({ because }, 'stopping');
    begun.abort();
    if (!broken.signal.aborted) await beQuiet();
    const deadline = deadlineAfter(deadlineMs);
    for (let part = parts.pop(); part !== undefined; part = parts.pop()) {
      await stopPart(part, deadline.passed);
    }
    deadline.cancel();
    log.info({ failures }, 'stopped');
    return failures === 0 ? 0 : 1;
  }

  async function stopPart(
    part: { name: string; stop: () => Promise<void> },
    tooLate: Promise<void>,
  ): Promise<void> {
    try {
      const inTime = await Promise.race([part.stop().then(() => true), tooLate.then(() => false)]);
      if (inTime) return;
      failures++;
      log.error({ part: part.name, deadlineMs }, 'part did not stop in time');
    } catch (error) {
      failures++;
      log.error({ part: part.name, err: error }, 'part failed to stop');
    }
  }

  const shutdown: Shutdown = {
    signal: begun.signal,
    add(name, stop) {
      parts.push({ name, stop });
      // The loop that stops takes it along, unless it has already ended.
      void stopped?.then(async () => {
        const late = parts.pop();
        if (late !== undefined) await stopPart(late, new Promise(() => {}));
      });
    },
    quietFor(ms, onBegin) {
      beQuiet = async () => {
        onBegin();
        await sleep(ms, undefined, { signal: broken.signal }).catch(() => {});
      };
    },
    stop(because, { failed = false } = {}) {
      if (failed && !broken.signal.aborted) {
        failures++;
        broken.abort();
      }
      stopped ??= stopAll(because);
      return stopped;
    },
    async exit(because, given) {
      exit(await shutdown.stop(because, given));
    },
  };

  for (const signal of signals) {
    process.on(signal, () => {
      const now = performance.now();
      firstSignalAtMs ??= now;
      if (now === firstSignalAtMs) {
        void shutdown.exit(signal);
      } else if (now - firstSignalAtMs > ECHO_MS) {
        log.warn({ signal }, 'stopped at once, by a second signal');
        // As a shell reports a process that a signal ended: 128 and the signal's number.
        exit(signal === 'SIGINT' ? 130 : 143);
      }
    });
  }
  return shutdown;
}

function deadlineAfter(ms: number): { passed: Promise<void>; cancel: () => void } {
  let timer: NodeJS.Timeout | undefined;
  const passed = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  return { passed, cancel: () => clearTimeout(timer) };
}
