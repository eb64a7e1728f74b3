/** What a fault is: the processes it needs, how it strikes, and what it may cost. */
import type { Stage, StageOptions } from './stage.ts';

/**
 * When the fault began and when its cause was gone, in ms of the machine's clock. `forgetsFromMs`: what was acknowledged since
 * then and until the fault may be forgotten by Redis; without it, nothing.
 */
export type Struck = { begunMs: number; goneMs: number; forgetsFromMs?: number; note?: string };

/** @throws when it did not strike: Redis took no notice, or something else happened */
export type Strike = (given: {
  /** The small sample of `npm test`: shorter, everything else the same. */
  isSample: boolean;
  /** From 0 to 1. */
  random: () => number;
}) => Promise<Struck>;

export type Scenario = {
  /** As `--only` names it. */
  readonly name: string;
  /** What happens, in a few words for a table. */
  readonly title: string;
  readonly stage: StageOptions;
  /** How often it is tried unless said. */
  readonly times: number;
  /**
   * `nothing`: what was acknowledged is there, no IP goes over. `measured`: Redis itself has lost writes, so changes of the last
   * moments may be gone, and an IP without an hourly cap may go over by no more than what it was granted in these moments
   * beyond a twenty-fourth of its day.
   */
  readonly mayLose: 'nothing' | 'measured';
  /** Senders or workers are killed: their pids change, and what they were told last may be in no ledger. */
  readonly kills?: boolean;
  /** Before the load begins: what the fault needs, so that it can strike at once. */
  readonly arm: (stage: Stage) => Strike | Promise<Strike>;
  /** Why it cannot be tried on this machine, in one sentence. */
  readonly unavailable?: () => string | null;
};
