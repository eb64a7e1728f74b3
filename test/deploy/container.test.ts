import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { block, root } from '../docs/page.ts';
import { startRedisServer } from '../support/redis-server.ts';

// Nobody here has a container engine, so the facts of the compose file and of the Dockerfile inside it are read from them, and
// what Redis is started with is tried with a real Redis.

const read = (name: string) => readFileSync(join(root, name), 'utf8');

type Service = {
  command: string[];
  environment: Record<string, string>;
  build: { dockerfile_inline: string };
  healthcheck?: { test: string[] };
  [name: string]: unknown;
};
const { services, volumes } = parse(read('docker-compose.yml'), { merge: true }) as {
  services: Record<'redis' | 'api' | 'worker', Service>;
  volumes: Record<string, unknown>;
};
const OURS = ['api', 'worker'] as const;

/** Values as compose puts them in; a variable that must be set and is not ends its start. */
const SET: Record<string, string> = {
  ...{
    REDIS_PASSWORD: 'of-the-operator',
    WARMLINE_REDIS_PASSWORD: 'of-warmline',
    WARMLINE_API_KEY: 'k'.repeat(20),
  },
};
const filledIn = (text: string) =>
  text.replace(/\$\{(\w+)(?::([-?])([^}]*))?\}/g, (_, name, kind, otherwise) => {
    if (SET[name] === undefined && kind !== '-') throw new Error(`${name} is not set`);
    return SET[name] ?? otherwise;
  });

describe('each container', () => {
  test.each(['redis', ...OURS] as const)(
    '%s: no root, nothing to write to, no right that it does not need',
    (name) => {
      const service = services[name];
      expect(service).toMatchObject({
        read_only: true,
        cap_drop: ['ALL'],
        security_opt: ['no-new-privileges:true'],
        healthcheck: { test: expect.any(Array) },
      });
      for (const risky of ['privileged', 'cap_add', 'devices', 'network_mode', 'pid', 'ipc', 'userns_mode']) {
        expect(service).not.toHaveProperty(risky);
      }
      expect(JSON.stringify(service)).not.toContain('docker.sock');
    },
  );

  test('Redis is root nowhere and open to nobody outside; it alone has a volume', () => {
    expect(services.redis).toMatchObject({ user: 'redis', volumes: ['redis-data:/data'] });
    expect(services.redis).not.toHaveProperty('ports');
    expect(Object.keys(volumes)).toEqual(['redis-data']);
    for (const name of OURS) expect(services[name]).not.toHaveProperty('volumes');
  });

  test('the API is published on this machine alone, the worker nowhere; what they write is in memory and their own', () => {
    expect(services.api.ports).toEqual(['127.0.0.1:8080:8080']);
    expect(services.worker).not.toHaveProperty('ports');
    for (const name of OURS) {
      expect(services[name].tmpfs).toEqual(['/run/warmline:uid=1000,gid=1000,mode=0700']);
      expect(services[name].environment.WARMLINE_DATA_DIR).toBe('/run/warmline');
    }
  });

  test('no secret stands in the file, and each that is needed is asked for', () => {
    const text = read('docker-compose.yml');
    for (const name of ['REDIS_PASSWORD', 'WARMLINE_REDIS_PASSWORD', 'WARMLINE_API_KEY']) {
      expect(text).toContain(`\${${name}:?set ${name} in .env`);
      expect(read('README.md')).toContain(name);
    }
    for (const name of OURS) {
      // biome-ignore lint/suspicious/noTemplateCurlyInString: compose fills it in
      const wanted = 'redis://warmline:${WARMLINE_REDIS_PASSWORD}@redis:6379';
      expect(services[name].environment.REDIS_URL).toBe(wanted);
      expect(services[name].environment).not.toHaveProperty('REDIS_PASSWORD');
    }
    for (const file of ['.dockerignore', '.gitignore']) {
      expect(read(file).split('\n'), file).toContain('.env');
    }
  });
});

describe('the image', () => {
  const dockerfile = services.api.build.dockerfile_inline;
  const [build, final] = dockerfile.split(/^(?=FROM )/m) as [string, string];

  test('ends as a user that is not root and has a number, and has no build in it', () => {
    expect(dockerfile.match(/^FROM /gm)).toHaveLength(2);
    const lines = final.trim().split('\n');
    expect(lines.filter((line) => /^USER /.test(line))).toEqual(['USER 1000:1000']);
    expect(lines.at(-2)).toBe('USER 1000:1000');
    expect(lines.at(-1)).toBe('ENTRYPOINT ["node", "dist/src/cli/main.js"]');
    expect(final).not.toMatch(/^(RUN|ADD) /m);
    expect(final).toContain('ENV NODE_ENV=production');
  });

  test('is made from what the lockfile names, runs no script of a package, and keeps what production needs', () => {
    expect(build).toContain('RUN npm ci --ignore-scripts\n');
    expect(build).toMatch(/npm prune --omit=dev --omit=optional --ignore-scripts$/m);
  });

  test('copies only folders by name, so that no .env and no data comes into it', () => {
    const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, files]) =>
      files!.split(' '),
    );
    expect(copied).toEqual([
      'package.json',
      'package-lock.json',
      'tsconfig.json',
      'scripts',
      'schedules',
      'src',
    ]);
  });
});

test('Redis starts with the command of the file, and its user is the one of docs/security.md', async () => {
  const [program, ...args] = services.redis.command.map(filledIn);
  expect(program).toBe('redis-server');
  const server = await startRedisServer({ config: args });
  const operator = new Redis(server.url.replace('//', `//default:${SET.REDIS_PASSWORD}@`));
  try {
    const listed = (await operator.call('ACL', 'LIST')) as string[];
    const ofCompose = listed.find((line) => line.startsWith('user warmline '));
    const documented = block('docs/security.md', 'acl')
      .split('\n')
      .find((line) => line.startsWith('user warmline '))!;
    const [, , ...rules] = documented.replace('WARMLINE_PASSWORD', SET.WARMLINE_REDIS_PASSWORD!).split(' ');
    await operator.call('ACL', 'SETUSER', 'as-documented', ...rules);
    const again = (await operator.call('ACL', 'LIST')) as string[];
    expect(ofCompose).toBe(
      again.find((line) => line.startsWith('user as-documented '))!.replace('as-documented', 'warmline'),
    );
    expect(await operator.config('GET', 'append*')).toEqual(
      expect.arrayContaining(['appendfsync', 'always', 'appendonly', 'yes']),
    );
    expect(await operator.config('GET', 'maxmemory-policy')).toEqual(['maxmemory-policy', 'noeviction']);
    // Who may ask for settings must not learn the operator's password by it.
    expect(await operator.config('GET', 'requirepass')).toEqual(['requirepass', '']);
    const nobody = new Redis(`redis://127.0.0.1:${server.port}`, { maxRetriesPerRequest: 0 });
    nobody.on('error', () => {});
    await expect(nobody.ping()).rejects.toThrow('NOAUTH');
    nobody.disconnect();
  } finally {
    operator.disconnect();
    await server.stop();
  }
});
