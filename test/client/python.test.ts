import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { ADMIN_KEY } from '../http/support.ts';
import { PYTHON } from '../support/python.ts';
import { serveApi } from './support.ts';

// The Python client has tests of its own, in its own language; here they get a real API.

const folder = fileURLToPath(new URL('../../clients/python', import.meta.url));

test.skipIf(PYTHON === null)(
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
      const { stderr } = await promisify(execFile)(PYTHON!, args, { cwd: folder, env });
      expect(stderr).toMatch(/^Ran [1-9]\d+ tests/m);
      expect(stderr).toMatch(/^OK$/m);
    } finally {
      await api.stop();
    }
  },
);
