/**
 * `npm run test:mutation`: each small change that could be made to the rules in src/warmup is made, one at a time, and the
 * tests that need no Redis must notice. A survivor is a rule that no test states, or a change without effect.
 * @type {import('@stryker-mutator/api/core').PartialStrykerOptions}
 */
export default {
  packageManager: 'npm',
  plugins: ['@stryker-mutator/vitest-runner'],
  testRunner: 'vitest',
  vitest: { configFile: 'test/mutation/vitest.config.ts', related: false },
  mutate: ['src/warmup/**/*.ts'],
  // The wording of a sentence is no rule; what a sentence must hold is stated where people read it.
  mutator: { excludedMutations: ['StringLiteral'] },
  coverageAnalysis: 'perTest',
  concurrency: 2,
  // What never ends takes this much longer than all tests that see it; on a quiet machine nothing else does.
  timeoutMS: 5_000,
  timeoutFactor: 1.5,
  // Only what the pure tests read is copied. The tsconfig stays out: TypeScript 7 has no interface to rewrite it with.
  ignorePatterns: ['**', '!/package.json', '!/src/**', '!/schedules/**', '!/test/**', '/test/tsconfig.json'],
  tempDirName: '.cache/stryker/sandbox',
  // A second run tries only what has changed since the first.
  incremental: true,
  incrementalFile: '.cache/stryker/incremental.json',
  reporters: ['progress', 'clear-text', 'json', 'html'],
  clearTextReporter: { allowColor: false, logTests: false, reportTests: false },
  jsonReporter: { fileName: '.cache/stryker/report.json' },
  htmlReporter: { fileName: '.cache/stryker/report.html' },
};
