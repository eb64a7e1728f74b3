/** A mail sender of one account: takes alone, from pools and many in one turn, leases, and gives some of it back. */
import { answerParent } from '../../../bench/processes.ts';
import { createSender, type Grant, type Lease, type Sender } from '../../../src/sender/index.ts';
import { asList, noteGrant, noteRefund, noteSpent, openBooks } from '../books.ts';
import type { Targets } from '../fleet.ts';
import { type Pace, type Pacer, startPacer } from '../pace.ts';
import { startWatch } from '../watch.ts';

type Question =
  | { todo: 'open'; redisUrl: string; targets: Targets; pace: Pace }
  | { todo: 'pace'; pace: Pace }
  | { todo: 'look'; collect?: boolean }
  | { todo: 'close' };

/** What one round asks for. */
const [SINGLE, FROM_POOLS, TIGHT, AT_ONCE, LEASED] = [4, 2, 2, 32, 100];

const watch = startWatch(['takes']);
const books = openBooks();
let sender: Sender;
let pacer: Pacer;
let leases: Lease[] = [];
let hourlyFromMs = new Map<string, number>();

answerParent(async (question: Question) => {
  if (question.todo === 'open') return open(question.redisUrl, question.targets, question.pace);
  if (question.todo === 'pace') return pacer.set(question.pace);
  if (question.todo === 'look')
    return { ...watch.look(question.collect === true), rounds: pacer.rounds, lateMs: pacer.lateMs() };
  await pacer.stop();
  await sender.close();
  return { books: asList(books) };
});

async function open(redisUrl: string, targets: Targets, pace: Pace): Promise<void> {
  sender = await createSender({ redisUrl, account: targets.account });
  hourlyFromMs = new Map(targets.hourlyFromMs);
  leases = [sender.lease({ pool: targets.leased }), sender.lease({ pool: targets.leasedTight })];
  pacer = startPacer(() => round(targets), pace);
}

const oneOf = <T>(list: readonly T[]): T => list[Math.floor(Math.random() * list.length)]!;

async function round({ single, tight, pools }: Targets): Promise<void> {
  const many = Array.from({ length: AT_ONCE }, () => take({ ip: oneOf(single).ipId }));
  await Promise.all([
    inTurn(SINGLE, async () => {
      const grant = await take({ ip: oneOf(single).address });
      if (grant && Math.random() < 1 / SINGLE) await refund(grant);
    }),
    inTurn(FROM_POOLS, () => take({ pool: oneOf(pools) })),
    inTurn(TIGHT, () => take({ ip: oneOf(tight).address })),
    ...many,
  ]);
  const [roomy, scarce] = leases as [Lease, Lease];
  for (let send = 0; send < LEASED; send += 1) spend(roomy);
  spend(scarce);
}

async function inTurn(times: number, work: () => Promise<unknown>): Promise<void> {
  for (let time = 0; time < times; time += 1) await work();
}

async function take(request: { ip: string } | { pool: string }): Promise<Grant | null> {
  const answer = await watch.timed('takes', 'take', () => sender.take(request));
  if (answer === null) return null;
  for (const grant of answer.granted) noteGrant(books, grant);
  if (answer.because?.code === 'unreachable') watch.failed('take', 'Redis cannot be reached');
  watch.count(answer.allowed ? 'granted' : 'denied');
  return answer.granted[0] ?? null;
}

async function refund({ receipt, count }: Grant): Promise<void> {
  const answer = await watch.timed('takes', 'refund', () => sender.refund({ receipt, count }));
  if (answer === null) return;
  noteRefund(books, receipt, answer.refunded, Date.now());
  watch.count('refunded', answer.refunded);
}

function spend(lease: Lease): void {
  try {
    const ip = lease.tryTake();
    watch.count(ip ? 'leased' : 'not there');
    if (ip) noteSpent(books, ip.ipId, hourlyFromMs.get(ip.ipId)!, Date.now(), 1);
  } catch (error) {
    watch.failed('lease', error);
  }
}
