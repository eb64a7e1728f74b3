import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Those that walk through whole warm-ups come last: most mutants fall in milliseconds before their turn. */
const WALKS = /\/(counter|forecast|projection)\.test\.ts$/;

class QuickFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]) {
    return files.toSorted((a, b) => Number(WALKS.test(a.moduleId)) - Number(WALKS.test(b.moduleId)));
  }
}

/**
 * `ONLY=counter,fence,reading npm run test:mutation -- --mutate src/warmup/counter.ts`: one file against the tests that are
 * about it, in minutes. All tests walk through what the counter does, and each mutant that they miss costs them all.
 */
const only = process.env.ONLY?.split(',').map((name) => `test/warmup/${name}.test.ts`);

// The tests that need no Redis: ten seconds for all of them, so that some two thousand mutants fit into half an hour.
export default defineConfig({
  test: {
    root: new URL('../..', import.meta.url).pathname,
    include: only ?? ['test/warmup/**/*.test.ts', 'test/schedules/**/*.test.ts'],
    setupFiles: ['test/mutation/same-chance.ts'],
    sequence: { sequencer: QuickFirst },
    testTimeout: 60_000,
    // Each run has a process of its own, so that a change to what is made while loading shows all the same; a process for each
    // file of it would take three times as long.
    isolate: false,
    retry: 0,
  },
});
