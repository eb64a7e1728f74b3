#!/usr/bin/env node
// The command. It stands in the repository, and not only in `dist`, because npm links a command when it is installed and for
// good: one that was not there on a fresh clone would stay unknown after the build.
import { existsSync } from 'node:fs';

const main = new URL('../dist/src/cli/main.js', import.meta.url);
if (!existsSync(main)) {
  process.stderr.write('warmline is not built yet; run npm start or npm run build first\n');
  process.exit(2);
}
await import(main.href);
