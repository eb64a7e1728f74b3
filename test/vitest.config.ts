import { defineConfig } from 'vitest/config';

// Every file starts a redis-server of its own. The smallest machine we promise to run on has two cores; three workers, since
// whoever waits for another process leaves a core to the others.
export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 3,
    // A process for each of 130 files costs a fifth of all the time; what a test changes of its process it puts back.
    isolate: false,
    retry: 0,
  },
});
