/**
 * A small sample of `npm run faults`: each fault once, in the middle of load, short, on few processes. The promises are
 * those of the long run, and so is the code; only the figures of docs/reliability.md come from there.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { killPrograms } from '../support/processes.ts';
import { runRound } from './round.ts';
import { broken } from './run.ts';
import type { Scenario } from './scenario.ts';
import cutConnection from './scenarios/cut-connection.ts';
import frozenRedis from './scenarios/frozen-redis.ts';
import fullDisk, { FILES_MAY_BE_FULL } from './scenarios/full-disk.ts';
import fullDiskAlways from './scenarios/full-disk-always.ts';
import fullMemory from './scenarios/full-memory.ts';
import killProcesses from './scenarios/kill-processes.ts';
import killRedisAlways, { ALWAYS } from './scenarios/kill-redis-always.ts';
import machineFailsEverysec from './scenarios/machine-fails-everysec.ts';
import promoteLagging from './scenarios/promote-lagging.ts';
import slowConnection from './scenarios/slow-connection.ts';
import { type Stage, type StageOptions, startStage } from './stage.ts';

const IN_THE_MIDDLE = () => 0.5;

/** Starting the processes is most of the time, so faults that can share them do; a round leaves nothing behind. */
function on(options: StageOptions, scenarios: readonly Scenario[]): void {
  let stage: Stage;
  let round = 0;
  beforeAll(async () => {
    stage = await startStage(options);
  }, 120_000);
  afterAll(() => stage.stop());
  test.for(scenarios)('$name', { timeout: 120_000 }, async (scenario, { skip }) => {
    const reason = scenario.unavailable?.();
    if (reason) skip(reason);
    round += 1;
    const seen = await runRound(stage, scenario, { isSample: true, random: IN_THE_MIDDLE, round });
    expect(broken(scenario, seen)).toEqual([]);
    expect(seen.acknowledged).toBeGreaterThan(0);
    expect(seen.granted).toBeGreaterThan(0);
  });
}

describe('with `appendfsync always`', () => {
  on({ config: ALWAYS, relayed: true, through: FILES_MAY_BE_FULL, senders: 2, workers: 1 }, [
    ...[killRedisAlways, fullMemory, frozenRedis, slowConnection, cutConnection],
    // The last one puts another Redis in the place of the first.
    ...[fullDiskAlways, killProcesses, promoteLagging],
  ]);
});

describe('with `appendfsync everysec`', () => {
  on(fullDisk.stage, [machineFailsEverysec, fullDisk]);
});

afterEach(({ task }) => {
  if (task.result?.state === 'fail') killPrograms();
});
