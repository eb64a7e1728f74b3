import { setTimeout as sleep } from 'node:timers/promises';
import type { Scenario, Strike } from '../scenario.ts';
import type { Stage } from '../stage.ts';
import { ALWAYS } from './kill-redis-always.ts';

const KILLS = 4;

/** Half of the victims are senders in the middle of takes and leases, half are workers; another takes the place of each. */
const killSome =
  (stage: Stage): Strike =>
  async ({ isSample, random }) => {
    const begunMs = Date.now();
    const victims: string[] = [];
    for (let kill = 0; kill < (isSample ? 2 : KILLS); kill += 1) {
      await sleep(random() * 100);
      if (kill % 2 === 0) {
        const at = Math.floor(random() * stage.senders.length);
        await end(stage, stage.senders[at]!);
        stage.senders[at] = await stage.startSender();
        victims.push('sender');
      } else {
        // The first worker lives in the process of the API.
        const at = 1 + Math.floor(random() * (stage.workers.length - 1));
        await end(stage, stage.workers[at]!);
        stage.workers[at] = await stage.startWorker();
        victims.push('worker');
      }
    }
    return { begunMs, goneMs: Date.now() };
  };

async function end(stage: Stage, { program }: Stage['senders'][number] | Stage['workers'][number]) {
  program.child.kill('SIGKILL');
  if ((await program.ended) !== 'SIGKILL') throw new Error('the victim had ended before it was killed');
  stage.forget(program);
}

export default {
  name: 'kill-processes',
  title: `\`kill -9\` of ${KILLS} senders (they hold leases) and workers at random, replaced one by one`,
  stage: { config: ALWAYS, senders: 3, workers: 2 },
  times: 10,
  mayLose: 'nothing',
  kills: true,
  arm: killSome,
} satisfies Scenario;
