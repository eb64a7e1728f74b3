/** One of several mail senders: its own process, its own connection, its own lease; and a mail every so often. */
import { setTimeout as sleep } from 'node:timers/promises';
import { createSender, type Lease, type Sender } from '../../src/sender/index.ts';
import { answerParent } from '../processes.ts';

type Question =
  | { todo: 'open'; redisUrl: string; testClock?: boolean }
  | { todo: 'lease'; ip: string }
  /** A mail each `everyMs`; ends when nothing could be sent for `untilDryMs`. */
  | { todo: 'send'; everyMs: number; untilDryMs: number }
  | { todo: 'close' };

/** The same for all processes of a machine, and steady. */
const nowMs = () => Number(process.hrtime.bigint()) / 1e6;

let sender: Sender;
let lease: Lease;

answerParent(async (question: Question) => {
  if (question.todo === 'open') {
    sender = await createSender({ redisUrl: question.redisUrl, testClock: question.testClock ?? false });
  } else if (question.todo === 'lease') {
    lease = sender.lease({ ip: question.ip });
  } else if (question.todo === 'send') {
    return send(question.everyMs, question.untilDryMs);
  } else {
    await lease.close();
  }
});

async function send(everyMs: number, untilDryMs: number): Promise<{ sent: number; lastAtMs: number }> {
  const beganAt = nowMs();
  let [sent, lastAtMs] = [0, beganAt];
  while (nowMs() - lastAtMs < untilDryMs) {
    if (lease.tryTake() !== null) {
      sent += 1;
      lastAtMs = nowMs();
    }
    await sleep(everyMs);
  }
  return { sent, lastAtMs };
}
