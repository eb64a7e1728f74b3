import { defineConfig } from 'vitest/config';

// Every file starts a redis-server of its own; two workers because the smallest machine we promise to run on has two cores.
export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
    // A process for each of 130 files costs a fifth of all the time; what a test changes of its process it puts back.
    isolate: false,
    retry: 0,
  },
});
