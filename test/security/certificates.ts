/** A certificate authority for one test file, made by openssl, which signs what the test needs. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** `req -x509 -CA` came with OpenSSL 3.0. */
export const OPENSSL = /^OpenSSL ([3-9]|\d\d)\./.test(String(spawnSync('openssl', ['version']).stdout));

/** Files in PEM form, and what they hold. */
export type Certificate = { certFile: string; keyFile: string; cert: string; key: string };

export interface Authority extends Certificate {
  /** @param names as `subjectAltName` writes them: `IP:127.0.0.1,DNS:localhost` */
  sign(name: string, names: string): Certificate;
  remove(): void;
}

export function createAuthority(): Authority {
  const dir = mkdtempSync(join(tmpdir(), 'warmline-ca-'));
  const make = (name: string, ...more: string[]): Certificate => {
    const [certFile, keyFile] = [join(dir, `${name}.pem`), join(dir, `${name}.key`)];
    execFileSync(
      'openssl',
      [
        ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
        ...['-keyout', keyFile, '-out', certFile, '-days', '2', '-subj', `/CN=${name}`, ...more],
      ],
      { stdio: 'pipe' },
    );
    return {
      certFile,
      keyFile,
      cert: readFileSync(certFile, 'utf8'),
      key: readFileSync(keyFile, 'utf8'),
    };
  };
  const authority = make('ca');
  return {
    ...authority,
    sign: (name, names) =>
      make(
        name,
        ...['-CA', authority.certFile, '-CAkey', authority.keyFile],
        ...['-addext', `subjectAltName=${names}`, '-addext', 'basicConstraints=critical,CA:FALSE'],
      ),
    remove: () => rmSync(dir, { recursive: true, force: true }),
  };
}
