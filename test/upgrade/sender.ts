import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

// A mail sender of any revision, in a process of its own: `<root of the tree> <redis url>`. A line of JSON on stdin is
// one thing to do, a line on stdout what came of it:
//   { take: { ip, count } }      -> { sent, receipts }
//   { lease: { ip, sends } }     -> { sent }      so many sends of a lease, which is then closed
//   { refund: [receipt] }        -> { refunded }

const [root = '', redisUrl = ''] = process.argv.slice(2);
type Here = typeof import('../../src/sender/index.ts');
const { createSender }: Here = await import(pathToFileURL(join(root, 'src/sender/index.ts')).href);
const sender = await createSender({ redisUrl, testClock: true });

export type Task =
  | { take: { ip: string; count: number } }
  | { lease: { ip: string; sends: number } }
  | { refund: string[] };
export type Outcome = { sent: number; receipts: string[]; refunded: number };

async function perform(task: Task): Promise<Partial<Outcome>> {
  if ('take' in task) {
    const { granted } = await sender.take(task.take);
    return {
      sent: granted.reduce((sum, { count }) => sum + count, 0),
      receipts: granted.map(({ receipt }) => receipt),
    };
  }
  if ('refund' in task) {
    const { refunded } = await sender.refund(task.refund.map((receipt) => ({ receipt })));
    return { refunded };
  }
  const lease = sender.lease({ ip: task.lease.ip, size: 10 });
  let sent = 0;
  for (let idle = 0; sent < task.lease.sends && idle < 40; ) {
    if (lease.tryTake()) sent += 1;
    else {
      idle += 1;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
  await lease.close();
  return { sent };
}

process.stdout.write('ready\n');
for await (const line of createInterface(process.stdin)) {
  const outcome = { sent: 0, receipts: [], refunded: 0, ...(await perform(JSON.parse(line) as Task)) };
  process.stdout.write(`${JSON.stringify(outcome)}\n`);
}
await sender.close();
