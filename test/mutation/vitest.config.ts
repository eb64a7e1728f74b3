import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Those that walk through whole warm-ups come last: most mutants fall in milliseconds before their turn. */
const WALKS = /\/(counter|forecast|projection)\.test\.ts$/;

class QuickFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]) {
    return files.toSorted((a, b) => Number(WALKS.test(a.moduleId)) - Number(WALKS.test(b.moduleId)));
  }
}

// The tests that need no Redis: 25 seconds for all of them, so that some two thousand mutants fit into an hour.
export default defineConfig({
  test: {
    root: new URL('../..', import.meta.url).pathname,
    include: ['test/warmup/**/*.test.ts', 'test/schedules/**/*.test.ts'],
    setupFiles: ['test/mutation/same-chance.ts'],
    sequence: { sequencer: QuickFirst },
    testTimeout: 60_000,
    // Each file loads its modules anew: a change to what is made while loading shows in no other way.
    isolate: true,
    retry: 0,
  },
});
