import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Each lasts a minute or two; begun last, it would go on alone while one of the two cores has nothing left to do. */
const LONG =
  /\/(simulation\/simulation|faults\/faults|upgrade\/upgrade|docs\/pages|cli\/serve|worker\/worker)\.test\.ts$/;

class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]) {
    const usual = await super.sort(files);
    return usual.toSorted((a, b) => Number(LONG.test(b.moduleId)) - Number(LONG.test(a.moduleId)));
  }
}

// Every file starts a redis-server of its own. The smallest machine we promise to run on has two cores; three workers, since
// whoever waits for another process leaves a core to the others.
export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    sequence: { sequencer: LongFirst },
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 3,
    // A process for each of 130 files costs a fifth of all the time; what a test changes of its process it puts back.
    isolate: false,
    retry: 0,
  },
});
