/**
 * Picks up every schedule there is: the files that lie in `schedules/` of the package, and the JSON files of the folder
 * `WARMLINE_SCHEDULES`. The folders are listed and nothing is registered anywhere, so that people add a schedule by
 * adding one file, without touching code. A file that breaks a rule stops the start: warming up by half a table is worse.
 */
import { readdir, readFile } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { BadSchedule, defineSchedule, type WarmupSchedule } from '../../schedules/schedule.ts';
import type { ScheduleBook } from '../warmup/plan.ts';

/** `schedules/` beside `src/`: the sources when this file is TypeScript, what tsc made of them when it is JavaScript. */
const PACKAGE_FOLDER = fileURLToPath(new URL('../../schedules', import.meta.url));
const CODE = extname(fileURLToPath(import.meta.url));

/**
 * All schedules by id, those of the package first.
 * @throws BadSchedule with one sentence that names the file, what is wrong and what to do.
 */
export async function loadSchedules({ folder }: { folder?: string | null } = {}): Promise<ScheduleBook> {
  const files = await filesIn(PACKAGE_FOLDER, isOfThePackage);
  if (folder) files.push(...(await filesIn(folder, isJson)));

  // All at once, and put in the book in the order of the names: the first of two with one id is always the same one.
  const loaded = await Promise.all(
    files.map(async (file) => ({
      file,
      schedule: isJson(file) ? await fromJson(file) : await fromCode(file),
    })),
  );
  const book = new Map<string, WarmupSchedule>();
  const fileOf = new Map<string, string>();
  for (const { file, schedule } of loaded) {
    const other = fileOf.get(schedule.id);
    if (other) {
      throw new BadSchedule(
        `${file}: the id "${schedule.id}" is taken by ${other}; give one of them another id and file name`,
      );
    }
    book.set(schedule.id, schedule);
    fileOf.set(schedule.id, file);
  }
  return book;
}

const isJson = (file: string) => extname(file) === '.json';
/** `schedule.ts` is what a schedule is, and none itself; declarations and source maps lie there too after tsc. */
const isOfThePackage = (name: string) =>
  isJson(name) || (extname(name) === CODE && !name.endsWith('.d.ts') && basename(name, CODE) !== 'schedule');

async function filesIn(folder: string, wanted: (name: string) => boolean): Promise<string[]> {
  try {
    const names = await readdir(folder);
    return names
      .filter((name) => !name.startsWith('.') && wanted(name))
      .sort()
      .map((name) => join(folder, name));
  } catch (error) {
    throw new BadSchedule(
      folder === PACKAGE_FOLDER
        ? `the folder "${folder}" ${whyUnreadable(error)}; it belongs to the package, so install or build warmline again`
        : `WARMLINE_SCHEDULES: the folder "${folder}" ${whyUnreadable(error)}; create it, or set the variable to a folder of JSON files`,
    );
  }
}

function whyUnreadable(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return 'does not exist';
  if (code === 'ENOTDIR') return 'is a file';
  if (code === 'EISDIR') return 'is a folder';
  return code === 'EACCES' ? 'may not be read by this user' : `cannot be read (${message})`;
}

async function fromCode(file: string): Promise<WarmupSchedule> {
  let found: unknown;
  try {
    const module = (await import(/* @vite-ignore */ pathToFileURL(file).href)) as { default?: unknown };
    found = module.default;
  } catch (error) {
    throw new BadSchedule(`${file}: ${(error as Error).message}`, { cause: error });
  }
  const { id, title, source, daily, hourly } = isRecord(found) ? found : {};
  if (
    typeof id !== 'string' ||
    typeof title !== 'string' ||
    typeof source !== 'string' ||
    !(daily || hourly)
  ) {
    throw new BadSchedule(
      `${file}: it exports no schedule; write "export default defineSchedule({ id, title, source, daily or hourly })"`,
    );
  }
  // Checked once more: whoever forgot defineSchedule() gets the same sentence.
  return checked(file, found as WarmupSchedule);
}

async function fromJson(file: string): Promise<WarmupSchedule> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw new BadSchedule(`${file}: the file ${whyUnreadable(error)}; make it readable or take it away`);
  }
  let json: unknown;
  try {
    json = JSON.parse(text.replace(/^\uFEFF/, '')); // some editors begin a file with a byte order mark
  } catch (error) {
    throw new BadSchedule(`${file}: it is not valid JSON (${(error as Error).message}); correct it there`);
  }
  return checked(file, scheduleOf(file, json));
}

function checked(file: string, schedule: WarmupSchedule): WarmupSchedule {
  const expected = basename(file, extname(file));
  if (schedule.id !== expected) {
    throw new BadSchedule(
      `${file}: its id is "${schedule.id}", but a file is named after its id; call the file ${schedule.id}${extname(file)} or the id "${expected}"`,
    );
  }
  try {
    return defineSchedule(schedule);
  } catch (error) {
    throw error instanceof BadSchedule ? new BadSchedule(`${file}: ${error.message}`) : error;
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A value as it stands in the file, cut so that a sentence stays a sentence. */
function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'missing';
  return text.length > 40 ? `${text.slice(0, 37)}...` : text;
}

const KNOWN = ['id', 'title', 'source', 'days', 'ages'];
const EXAMPLE = '{"id": "three-days", "days": [{"day": 1, "dailyLimit": 50}, ...]}';

/**
 * The JSON form: `days` for daily limits, `ages` for hourly caps. Written out by hand and not as a zod schema, because
 * the sentence that a person gets is the point of it; the numbers themselves are then checked by `defineSchedule`.
 */
function scheduleOf(file: string, json: unknown): WarmupSchedule {
  const fail = (problem: string): never => {
    throw new BadSchedule(`${file}: ${problem}`);
  };
  if (!isRecord(json)) return fail(`it holds ${shown(json)}; a schedule is an object: ${EXAMPLE}`);
  const unknown = Object.keys(json).find((name) => !KNOWN.includes(name));
  if (unknown !== undefined) fail(`the field "${unknown}" is unknown; known are ${KNOWN.join(', ')}`);

  const text = (name: string, fallback?: string): string => {
    const value = json[name] ?? fallback;
    if (typeof value === 'string' && value.trim() !== '') return value;
    return fail(`${name} is ${shown(json[name])}; give a text in quotes (example: "${name}": "three-days")`);
  };
  const rows = <Number extends string, Limit extends string>(name: string, number: Number, limit: Limit) => {
    const list = json[name];
    if (!Array.isArray(list)) {
      return fail(`${name} is ${shown(list)}; give a list of rows like {"${number}": 1, "${limit}": 50}`);
    }
    return list.map((row: unknown, index) => {
      const where = `${name}[${index}]`;
      if (!isRecord(row))
        return fail(`${where} is ${shown(row)}; give a row like {"${number}": 1, "${limit}": 50}`);
      const extra = Object.keys(row).find((key) => key !== number && key !== limit);
      if (extra !== undefined)
        fail(`${where} has the unknown field "${extra}"; known are ${number}, ${limit}`);
      if (typeof row[number] !== 'number')
        fail(`${where}.${number} is ${shown(row[number])}; give a whole number`);
      if (typeof row[limit] !== 'number' && row[limit] !== null) {
        fail(
          `${where}.${limit} is ${shown(row[limit])}; give a whole number of sends, or null for unlimited`,
        );
      }
      return { [number]: row[number], [limit]: row[limit] } as Record<Number, number> &
        Record<Limit, number | null>;
    });
  };

  const id = text('id');
  const heading = { id, title: text('title', id), source: text('source', basename(file)) };
  if ('days' in json === 'ages' in json) {
    return fail(
      'days' in json
        ? 'it has both days and ages; a schedule has one of them, and a plan joins two schedules with +'
        : 'it has neither days (daily limits) nor ages (hourly caps); give one of them',
    );
  }
  return 'days' in json
    ? { ...heading, daily: rows('days', 'day', 'dailyLimit') }
    : { ...heading, hourly: rows('ages', 'ageDays', 'hourlyCap') };
}
