import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest';
import { findRedisServer } from '../../src/runtime/redis-binary.ts';
import { eventually } from '../support/processes.ts';

/** Two commands on a fresh clone: what setup provides, what it leaves alone, and what it says when it cannot. */

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const parent = realpathSync(mkdtempSync(join(tmpdir(), 'warmline-setup-test-')));
afterAll(() => rmSync(parent, { recursive: true, force: true }));
afterEach(() => vi.unstubAllEnvs());

/** A project with the real scripts and packages and two small sources, in a folder whose name holds a blank. */
function newProject({ packages = true } = {}) {
  const root = join(mkdtempSync(join(parent, 'project-')), 'a clone');
  const at = (...path: string[]) => join(root, ...path);
  mkdirSync(at('src', 'cli'), { recursive: true });
  mkdirSync(at('schedules'));
  for (const name of ['scripts', 'package.json', 'tsconfig.json', 'package-lock.json']) {
    cpSync(join(ROOT, name), at(name), { recursive: true });
  }
  if (packages) symlinkSync(join(ROOT, 'node_modules'), at('node_modules'));
  writeFileSync(
    at('src', 'cli', 'main.ts'),
    "#!/usr/bin/env node\nimport { one } from '../one.ts';\nconsole.log(one);\n",
  );
  writeFileSync(at('src', 'one.ts'), 'export const one: number = 1;\n');
  writeFileSync(at('src', 'take.lua'), 'return 1\n');
  writeFileSync(at('schedules', 'own.json'), '{}\n');
  return { root, at };
}

type Project = ReturnType<typeof newProject>;

function setup(project: Project, target: string, env: NodeJS.ProcessEnv = {}): SpawnSyncReturns<string> {
  const own = { ...process.env, npm_execpath: '', WARMLINE_REDIS_SERVER: '', REDIS_URL: '', ...env };
  return spawnSync(process.execPath, [project.at('scripts', 'setup.mjs'), target], {
    env: own,
    encoding: 'utf8',
  });
}

const nothingSaid = { status: 0, stdout: '', stderr: '' };

/** A folder with programs that are only these lines of sh. */
function programs(scripts: Record<string, string>): string {
  const folder = mkdtempSync(join(parent, 'bin-'));
  for (const [name, script] of Object.entries(scripts)) {
    writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(folder, name), 0o755);
  }
  return folder;
}

const saysVersion = (version: string) => `echo "${version} sha=00000000:0 malloc=libc bits=64"`;

describe('building', () => {
  test('compiles the sources, brings the rest along, and is silent when nothing has changed', () => {
    const project = newProject();
    expect(setup(project, 'build')).toMatchObject({ status: 0, stdout: '', stderr: 'Building dist.\n' });
    const built = ['src/cli/main.js', 'src/one.js', 'src/one.d.ts', 'src/take.lua', 'schedules/own.json'];
    expect(built.filter((path) => !existsSync(project.at('dist', path)))).toEqual([]);
    expect(spawnSync(project.at('dist/src/cli/main.js'), { encoding: 'utf8' }).stdout).toBe('1\n');
    const [source] = JSON.parse(readFileSync(project.at('dist/src/one.js.map'), 'utf8')).sources;
    expect(realpathSync(project.at('dist/src', source))).toBe(project.at('src/one.ts'));
    expect(setup(project, 'build')).toMatchObject(nothingSaid);
    const PATH = programs({ 'redis-server': saysVersion('Redis server v=7.0.0') });
    expect(setup(project, 'start', { PATH })).toMatchObject(nothingSaid);
  });

  test('follows every change: an edit, a new file, a removed one, a folder in place of a file', () => {
    const project = newProject();
    writeFileSync(project.at('src', 'old.ts'), 'export const old = 1;\n');
    setup(project, 'build');
    const untouched = statSync(project.at('dist/src/take.lua')).ino;
    rmSync(project.at('src', 'old.ts'));
    rmSync(project.at('schedules', 'own.json'));
    mkdirSync(project.at('schedules', 'own.json'));
    writeFileSync(project.at('schedules', 'own.json', 'inner.css'), 'a{}');
    writeFileSync(project.at('src', 'one.ts'), 'export const one: number = 2;\n');
    expect(setup(project, 'build').stderr).toBe('Building dist.\n');
    expect(readdirSync(project.at('dist/src')).filter((name) => name.startsWith('old'))).toEqual([]);
    expect(existsSync(project.at('dist/schedules/own.json/inner.css'))).toBe(true);
    expect(spawnSync(project.at('dist/src/cli/main.js'), { encoding: 'utf8' }).stdout).toBe('2\n');
    expect(statSync(project.at('dist/src/take.lua')).ino).toBe(untouched);
    rmSync(project.at('schedules', 'own.json'), { recursive: true });
    setup(project, 'build');
    expect(existsSync(project.at('dist/schedules'))).toBe(false);
  });

  test('that fails changes nothing, and is tried again', () => {
    const project = newProject();
    setup(project, 'build');
    writeFileSync(project.at('src', 'one.ts'), "export const one: number = 'two';\n");
    for (let attempt = 0; attempt < 2; attempt++) {
      const { status, stdout, stderr } = setup(project, 'build');
      expect([status, stdout]).toEqual([1, '']);
      expect(stderr).toContain('src/one.ts(1,14): error TS2322');
      expect(stderr).toContain(
        'The build failed: the compiler named the reasons above, and dist is as it was.\n',
      );
    }
    expect(spawnSync(project.at('dist/src/cli/main.js'), { encoding: 'utf8' }).stdout).toBe('1\n');
  });

  test('is done once by many who start at the same moment, one killed setup notwithstanding', async () => {
    const project = newProject();
    mkdirSync(project.at('.cache'));
    symlinkSync('4194305 gone', project.at('.cache', 'setup.lock.4'));
    const outcomes = await Promise.all(
      [1, 2, 3, 4].map(async () => {
        const child = spawn(process.execPath, [project.at('scripts', 'setup.mjs'), 'build']);
        let said = '';
        child.stderr.on('data', (text) => {
          said += text;
        });
        const [code] = await once(child, 'close');
        return { code, builds: said.split('Building dist.').length - 1 };
      }),
    );
    expect(outcomes.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
    expect(outcomes.reduce((sum, { builds }) => sum + builds, 0)).toBe(1);
    expect(readdirSync(project.at('.cache'))).toHaveLength(1);
    expect(setup(project, 'build')).toMatchObject(nothingSaid);
  });

  test('has a short name', () => {
    const project = newProject();
    const { status, stderr } = spawnSync(project.at('scripts', 'setup'), ['build'], {
      cwd: parent,
      encoding: 'utf8',
    });
    expect([status, stderr]).toEqual([0, 'Building dist.\n']);
    const unknown = spawnSync(project.at('scripts', 'setup'), ['strat'], { encoding: 'utf8' });
    expect([unknown.status, unknown.stderr]).toEqual([
      2,
      '"strat" is not a target: scripts/setup start, test, build, packages, browser or clock.\n',
    ]);
  });
});

describe('packages', () => {
  const redis = programs({ 'redis-server': saysVersion('Redis server v=7.0.0') });
  const withNpm = (script: string) => ({
    PATH: [programs({ npm: script }), redis, process.env.PATH].join(delimiter),
  });

  test('are installed as the lock file says', () => {
    const project = newProject({ packages: false });
    const { status, stderr } = setup(project, 'packages', withNpm('echo "$@" >npm-was-told'));
    expect([status, stderr]).toEqual([0, 'Installing the packages (npm ci).\n']);
    expect(readFileSync(project.at('npm-was-told'), 'utf8')).toContain('ci --include=dev');
  });

  test('are installed from a lock file that leaves some out, too', () => {
    const project = newProject({ packages: false });
    const { status, stderr } = setup(
      project,
      'test',
      withNpm('[ "$1" = install ] || { echo npm error code EUSAGE >&2; exit 1; }; echo "$@" >npm-was-told'),
    );
    expect(status).toBe(0);
    expect(stderr).toContain('installing with npm install, which leaves that file as it is.');
    expect(readFileSync(project.at('npm-was-told'), 'utf8')).toContain('install --no-save --include=dev');
  });

  test('that cannot be installed: npm says why', () => {
    const project = newProject({ packages: false });
    const { status, stderr } = setup(project, 'test', withNpm('echo npm error network >&2; exit 1'));
    expect([status, stderr]).toEqual([
      1,
      'Installing the packages (npm ci).\nnpm error network\nnpm ci failed for the reasons above: put them right, then run this again.\n',
    ]);
  });

  test('are installed again when the lock file names another version, not when its date changes', () => {
    const project = newProject({ packages: false });
    mkdirSync(project.at('node_modules'));
    const lock = JSON.parse(readFileSync(project.at('package-lock.json'), 'utf8'));
    writeFileSync(project.at('node_modules', '.package-lock.json'), JSON.stringify(lock));
    writeFileSync(project.at('package-lock.json'), JSON.stringify(lock, null, 4));
    expect(setup(project, 'test', withNpm('exit 1'))).toMatchObject(nothingSaid);
    lock.packages['node_modules/ioredis'].version = '6.0.99';
    writeFileSync(project.at('package-lock.json'), JSON.stringify(lock));
    expect(setup(project, 'test', withNpm('exit 0')).stderr).toBe('Installing the packages (npm ci).\n');
  });
});

describe('interrupted', () => {
  test('in the middle of the packages: it ends at once, and so does npm, before somebody starts again', async () => {
    const project = newProject({ packages: false });
    const npm = programs({ npm: 'trap "" INT TERM HUP; echo $$ >npm-pid; sleep 10; sleep 10' });
    for (const [signal, code] of [
      ['SIGINT', 130],
      ['SIGTERM', 143],
    ] as const) {
      const child = spawn(process.execPath, [project.at('scripts', 'setup.mjs'), 'packages'], {
        env: { ...process.env, npm_execpath: '', PATH: [npm, process.env.PATH].join(delimiter) },
        stdio: 'ignore',
      });
      const ended = once(child, 'exit');
      const npmPid = () => existsSync(project.at('npm-pid')) && readFileSync(project.at('npm-pid'), 'utf8');
      await eventually('npm is at work', () => npmPid() !== false && npmPid() !== '');
      const pid = Number(npmPid());
      child.kill(signal);
      expect(await ended).toEqual([code, null]);
      expect(() => process.kill(pid, 0)).toThrow('ESRCH');
      rmSync(project.at('npm-pid'));
    }
    const again = setup(project, 'packages', { PATH: programs({ npm: 'exit 0' }) });
    expect(again).toMatchObject({ status: 0, stderr: 'Installing the packages (npm ci).\n' });
  });
});

describe('Redis', () => {
  const NEEDED = 'Warmline needs redis-server 7.0 or newer, or valkey-server 7.2 or newer';
  const BY_HAND = 'install one and put it on the PATH, or name it in WARMLINE_REDIS_SERVER.';

  test.each([
    ['redis-server', 'Redis server v=7.0.15', true],
    ['redis-server', 'Redis server v=10.1.0', true],
    ['redis-server', 'Redis server v=6.2.14', false],
    ['redis-server', 'Valkey server v=8.0.1', true],
    ['redis-server', 'KeyDB server v=6.3.4', false],
    ['valkey-server', 'Valkey server v=7.2.5', true],
    ['valkey-server', 'Valkey server v=7.1.9', false],
  ])('on the PATH: %s that says "%s" is taken: %s', (name, version, taken) => {
    const project = newProject();
    const PATH = programs({ [name]: saysVersion(version) });
    const { status, stderr } = setup(project, 'test', { PATH });
    expect(status).toBe(taken ? 0 : 1);
    if (!taken) expect(stderr).toContain(`${join(PATH, name)} `);
    // The program asks the same question and must get the same answer, but for what this project has in its cache.
    vi.stubEnv('PATH', PATH);
    vi.stubEnv('WARMLINE_REDIS_SERVER', '');
    expect(findRedisServer()?.startsWith(PATH) ?? false).toBe(taken);
  });

  test('that is too old is passed over for a later one on the PATH', () => {
    const old = programs({ 'redis-server': saysVersion('Redis server v=6.0.16') });
    const good = programs({ 'valkey-server': saysVersion('Valkey server v=8.1.0') });
    const PATH = [old, good].join(delimiter);
    expect(setup(newProject(), 'test', { PATH })).toMatchObject({
      status: 0,
      stderr: `${join(old, 'redis-server')} is Redis 6.0 and is passed over: Redis 7.0 or Valkey 7.2 is needed.\n`,
    });
    vi.stubEnv('PATH', PATH);
    vi.stubEnv('WARMLINE_REDIS_SERVER', '');
    expect(findRedisServer()).toBe(join(good, 'valkey-server'));
  });

  test('that somebody named is the one, or an error', () => {
    const folder = programs({
      mine: saysVersion('Redis server v=7.4.0'),
      old: saysVersion('Redis server v=5.0.0'),
    });
    const project = newProject();
    const outcome = (WARMLINE_REDIS_SERVER: string) => {
      vi.stubEnv('WARMLINE_REDIS_SERVER', WARMLINE_REDIS_SERVER);
      const { status, stderr } = setup(project, 'test', { WARMLINE_REDIS_SERVER });
      let found: string | null;
      try {
        found = findRedisServer();
      } catch (error) {
        found = `${(error as Error).message}\n`;
      }
      return { status, stderr, found };
    };
    expect(outcome(join(folder, 'mine'))).toEqual({ status: 0, stderr: '', found: join(folder, 'mine') });
    const missing = `WARMLINE_REDIS_SERVER: "${folder}/none" is not a program that can be run (example: /usr/bin/redis-server).\n`;
    expect(outcome(join(folder, 'none'))).toEqual({ status: 1, stderr: missing, found: missing });
    const old = `WARMLINE_REDIS_SERVER: "${folder}/old" is not Redis 7.0 or newer, nor Valkey 7.2 or newer.\n`;
    expect(outcome(join(folder, 'old'))).toEqual({ status: 1, stderr: old, found: old });
  });

  test('is not needed to start with one that runs elsewhere', () => {
    const project = newProject();
    setup(project, 'build');
    expect(setup(project, 'start', { PATH: programs({}), REDIS_URL: 'redis://10.0.0.5' })).toMatchObject(
      nothingSaid,
    );
  });

  test.each([
    ['nothing', {}, BY_HAND],
    ['dnf', { dnf: 'exit 9' }, 'run `sudo dnf install valkey`.'],
  ])('cannot be provided with %s, so the line to run is printed', (_, scripts, advice) => {
    const { status, stderr } = setup(newProject(), 'test', { PATH: programs(scripts) });
    expect([status, stderr]).toEqual([1, `${NEEDED}, and finds none: ${advice}\n`]);
  });

  test('is installed by brew where there is brew, and found though its folder is not on the PATH', () => {
    const brewed = programs({});
    mkdirSync(join(brewed, 'bin'));
    const brew = `[ "$1" = install ] || { echo ${brewed}; exit; }
      echo '#!/bin/sh' >${brewed}/bin/redis-server
      echo 'echo Redis server v=8.0.0' >>${brewed}/bin/redis-server
      /bin/chmod +x ${brewed}/bin/redis-server`;
    const project = newProject();
    const env = { PATH: programs({ brew }) };
    expect(setup(project, 'test', env)).toMatchObject({ status: 0, stderr: 'Running: brew install redis\n' });
    expect(setup(project, 'test', env)).toMatchObject(nothingSaid);
  });

  describe('from Debian packages', () => {
    /** An apt whose own lists are too old to download from, and a dpkg-deb that unpacks the server of this machine. */
    const tools = (version: string, unpacks: string) => ({
      'apt-cache': `case "$*" in *show*redis-server) echo "Version: 5:${version}-1" ;; esac`,
      'apt-get': `case "$*" in
        *update*) ;;
        *Dir::State::lists=*download*) echo >redis-server.deb ;;
        *) echo "E: 404 Not Found" >&2; exit 100 ;;
      esac`,
      'dpkg-deb': `[ "$1" = -x ] && /bin/mkdir -p "$3/usr/bin" && ${unpacks}`,
      ldd: 'echo "libc.so.6 => /lib/libc.so.6"',
      dirname: '/usr/bin/dirname "$@"',
    });
    const FETCHES = [
      'Downloading redis-server (apt-get download) into .cache/redis.',
      'Fetching the package lists (apt-get update, into .cache).',
      'Downloading redis-server (apt-get download) into .cache/redis.',
    ];

    test('is unpacked into the cache, tried, and found from then on', () => {
      const real = findRedisServer();
      const project = newProject();
      const env = {
        PATH: programs(
          tools(
            '7.0.15',
            `echo 'exec ${real} "$@"' >"$3/usr/bin/redis-server" && /bin/sed -i '1i #!/bin/sh' "$3/usr/bin/redis-server" && /bin/chmod +x "$3/usr/bin/redis-server"`,
          ),
        ),
      };
      const { status, stdout, stderr } = setup(project, 'test', env);
      expect([status, stdout]).toEqual([0, '']);
      expect(stderr.trim().split('\n')).toEqual([
        ...FETCHES,
        'Redis is in .cache/redis; nothing was installed.',
      ]);
      expect(readdirSync(project.at('.cache')).filter((name) => !name.startsWith('setup.lock'))).toEqual([
        'redis',
      ]);
      expect(setup(project, 'test', env)).toMatchObject(nothingSaid);
    });

    test('is not taken if it does not run, and nothing is left of it', () => {
      const project = newProject();
      const broken = `echo 'not a program' >"$3/usr/bin/redis-server" && /bin/chmod +x "$3/usr/bin/redis-server"`;
      const { status, stderr } = setup(project, 'test', { PATH: programs(tools('7.0.15', broken)) });
      expect(status).toBe(1);
      expect(stderr).toContain('The unpacked Redis does not run');
      expect(readdirSync(project.at('.cache'))).toHaveLength(1);
    });

    test('is not downloaded where the release has only an older one', () => {
      const { status, stderr } = setup(newProject(), 'test', {
        PATH: programs(tools('6.0.16', 'true')),
      });
      expect(status).toBe(1);
      expect(stderr).toBe(`${FETCHES[1]}\n${NEEDED}, and this release offers none: ${BY_HAND}\n`);
    });
  });
});
