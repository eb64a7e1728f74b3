/** Tries scenarios so often as is wanted and says how they went. */
import type { Round } from './round.ts';
import { runRound } from './round.ts';
import type { Scenario } from './scenario.ts';
import { startStage } from './stage.ts';

export type Outcome = {
  scenario: Scenario;
  /** Those that were tried to their end. */
  rounds: Round[];
  /** Why it was tried no further: something did not heal, or a promise of the harness itself was broken. */
  failure: string | null;
  /** Why it was not tried at all. */
  skipped: string | null;
};

export async function tryScenario(
  scenario: Scenario,
  times: number,
  onRound: (done: number) => void,
): Promise<Outcome> {
  const skipped = scenario.unavailable?.() ?? null;
  const rounds: Round[] = [];
  let failure: string | null = null;
  if (skipped === null) {
    const stage = await startStage(scenario.stage);
    try {
      for (let round = 1; round <= times; round += 1) {
        rounds.push(await runRound(stage, scenario, { round }));
        onRound(round);
      }
    } catch (error) {
      failure = (error as Error).message;
      if (process.env.DEBUG) console.error(error);
    } finally {
      await stage.stop();
    }
  }
  return { scenario, rounds, failure, skipped };
}

/** What a round must not show; empty when it kept every promise. */
export function broken({ mayLose }: Scenario, round: Round): string[] {
  const { over, unexplained, grantsLost, changesLost, lostTooEarly } = round;
  if (mayLose === 'nothing') {
    const sends = over.hourly + over.daily;
    return [
      ...(sends > 0 ? [`${sends} sends over the limit`] : []),
      ...(grantsLost > 0 ? [`${grantsLost} grants forgotten by Redis`] : []),
      ...changesLost,
    ];
  }
  return [
    // What Redis may have forgotten counts as used up for the rest of the hour.
    ...(over.hourly > 0 ? [`${over.hourly} sends over an hourly cap`] : []),
    ...(unexplained > 0 ? [`${unexplained} sends over a daily limit that nothing forgotten explains`] : []),
    ...lostTooEarly.map((sentence) => `acknowledged before Redis could forget it: ${sentence}`),
  ];
}

export const isGood = ({ scenario, rounds, failure }: Outcome) =>
  failure === null && rounds.every((round) => broken(scenario, round).length === 0);
