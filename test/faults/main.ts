/**
 * `npm run faults`: real processes, really killed, frozen, cut off and run out of room, and the books afterwards. Ends with 1
 * when anything was lost or over that must not be, or did not heal by itself.
 */
import { Command, InvalidArgumentError } from 'commander';
import { killPrograms } from '../support/processes.ts';
import { asJson, asMarkdown, asTable, verdict } from './report.ts';
import { isGood, type Outcome, tryScenario } from './run.ts';
import { SCENARIOS } from './scenarios/index.ts';

/** Addresses of the rounds are numbered in one byte. */
const MOST_TIMES = 250;
const TOLD_EVERY = 10;

type Options = { times?: number; only?: string[]; json?: true; markdown?: true };

function times(text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1 || number > MOST_TIMES)
    throw new InvalidArgumentError(`It must be a whole number from 1 to ${MOST_TIMES}.`);
  return number;
}

const names = SCENARIOS.map(({ name }) => name);
function only(text: string, before: string[] = []): string[] {
  const unknown = text.split(',').find((name) => !names.includes(name));
  if (unknown !== undefined)
    throw new InvalidArgumentError(`There is no fault "${unknown}"; there are ${names.join(', ')}.`);
  return [...before, ...text.split(',')];
}

const list = SCENARIOS.map((one) => `  ${one.name.padEnd(24)}${String(one.times).padStart(3)}  ${one.title}`);
const command = new Command('npm run faults --')
  .description(
    'Tries faults on a Redis, senders and workers that it starts and stops itself, on the real clock.',
  )
  .option('--times <number>', 'how often each is tried (otherwise as the list says)', times)
  .option('--only <name>', 'only this fault; several with commas, or named again', only)
  .option('--json', 'everything that was measured, for programs')
  .option('--markdown', 'the table as markdown, for docs/reliability.md')
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
  .addHelpText(
    'after',
    `
Faults, and how often each is tried:
${list.join('\n')}

Examples:
  npm run faults -- --times 1                              a look at each, about five minutes
  npm run faults -- --only kill-redis-always --times 50    what the promise of no loss rests on
  npm run -s faults -- --markdown > faults.md
`,
  );
command.parse();
const given = command.opts<Options>();

// Redis ends by itself with whoever started it; the others would not.
for (const [signal, code] of Object.entries({ SIGINT: 130, SIGTERM: 143 })) {
  process.once(signal, () => {
    killPrograms();
    process.exit(code);
  });
}

const outcomes: Outcome[] = [];
for (const scenario of SCENARIOS) {
  if (given.only && !given.only.includes(scenario.name)) continue;
  const wanted = given.times ?? scenario.times;
  progress(`${scenario.name}: the processes start`);
  outcomes.push(
    await tryScenario(scenario, wanted, (done) => {
      if (process.stderr.isTTY || done % TOLD_EVERY === 0) progress(`${scenario.name}: ${done} of ${wanted}`);
    }),
  );
}
if (process.stderr.isTTY) progress('');

console.log(given.json ? asJson(outcomes) : given.markdown ? asMarkdown(outcomes) : asTable(outcomes));
// The last lines say whether it was good; beside what a program or a page is to read they are told apart.
const tell = given.json || given.markdown ? console.error : console.log;
for (const outcome of outcomes) tell(verdict(outcome));
process.exit(outcomes.every(isGood) ? 0 : 1);

/** On a terminal one line that is written over; elsewhere a line now and then. */
function progress(text: string): void {
  process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${text}` : `${text}\n`);
}
