import { execFile, execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { ADMIN_KEY } from '../http/support.ts';
import { serveApi } from './support.ts';

// The Python client has tests of its own, in its own language; here they get a real API.

const folder = fileURLToPath(new URL('../../clients/python', import.meta.url));
const python = findPython();

test.skipIf(python === null)(
  'the tests of the Python client pass against a real API (skipped only where there is no Python 3.9 or newer)',
  async () => {
    const api = await serveApi();
    try {
      const env = {
        ...process.env,
        WARMLINE_URL: api.url,
        WARMLINE_API_KEY: ADMIN_KEY,
        PYTHONDONTWRITEBYTECODE: '1',
      };
      // What is left open is a warning, and here an error.
      const args = ['-W', 'error', '-m', 'unittest', 'discover'];
      const { stderr } = await promisify(execFile)(python!, args, { cwd: folder, env });
      expect(stderr).toMatch(/^Ran [1-9]\d+ tests/m);
      expect(stderr).toMatch(/^OK$/m);
    } finally {
      await api.stop();
    }
  },
);

/** The first on the PATH that is new enough. */
function findPython(): string | null {
  const found = ['python3', 'python'].find((name) => {
    try {
      execFileSync(name, ['-c', 'import sys; sys.exit(sys.version_info < (3, 9))'], { stdio: 'ignore' });
      return true;
    } catch {
      return false;
    }
  });
  return found ?? null;
}
