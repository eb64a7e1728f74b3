/** Several senders at once, each a process: how soon a hold reaches them, and how fairly they share a small quota. */
import { setTimeout as sleep } from 'node:timers/promises';
import { holdIp } from '../src/fleet/ips.ts';
import { spreadOf } from './measure.ts';
import { type Closing, type Part, withClosing } from './part.ts';
import { type Child, startChild } from './processes.ts';
import { addWarmingIps, openStage, type Stage } from './stage.ts';

type Sent = { sent: number; lastAtMs: number };

const LEASING = 8;
const SHARING = 10;
const FIRST_DAY = 50;
/** What was leased before a change may be spent for a second; who has waited for longer has seen the last of it. */
const DRY_MS = 1_500;

/** The same for all processes of a machine, and steady. */
const nowMs = () => Number(process.hrtime.bigint()) / 1e6;

async function openSenders(count: number, stage: Stage, closing: Closing): Promise<Child[]> {
  const senders = Array.from({ length: count }, () => startChild('sender', 'any'));
  for (const sender of senders) closing(sender.stop);
  await askAll(senders, { todo: 'open', redisUrl: stage.url });
  return senders;
}

const askAll = <Answer>(senders: readonly Child[], question: object) =>
  Promise.all(senders.map((sender) => sender.ask<Answer>(question)));

export const hold: Part = {
  title: `from a hold to the last send of ${LEASING} leasing processes`,
  inAll: false,
  run: ({ rounds, step }) =>
    withClosing(async (closing) => {
      const stage = await openStage();
      closing(stage.close);
      const senders = await openSenders(LEASING, stage, closing);
      const [fromRequest, fromAnswer]: [number[], number[]] = [[], []];
      const ips = await addWarmingIps(stage.tenant, rounds);
      for (const [round, { id, address }] of ips.entries()) {
        await askAll(senders, { todo: 'lease', ip: address });
        const sending = askAll<Sent>(senders, { todo: 'send', everyMs: 1, untilDryMs: DRY_MS });
        await sleep(400);
        const askedAtMs = nowMs();
        await holdIp(stage.tenant, id, { sending: true, advance: false, because: 'measured', untilMs: null });
        const heldAtMs = nowMs();
        const last = Math.max(...(await sending).map(({ lastAtMs }) => lastAtMs));
        fromRequest.push(Math.max(0, last - askedAtMs));
        fromAnswer.push(Math.max(0, last - heldAtMs));
        await askAll(senders, { todo: 'close' });
        step(round + 1, rounds);
      }
      const unit = 'ms';
      return {
        rows: [
          {
            figure: 'from the request of a hold to the last send of all',
            measured: spreadOf(fromRequest),
            unit,
          },
          { figure: 'from its answer to the last send of all', measured: spreadOf(fromAnswer), unit },
          {
            figure: 'from its answer, the longest of all rounds',
            measured: spreadOf([Math.max(...fromAnswer)]),
            unit,
            mark: { wanted: 1_000, atMost: true },
          },
        ],
      };
    }),
};

export const share: Part = {
  title: `${SHARING} senders share the ${FIRST_DAY} sends of day 1`,
  inAll: false,
  run: ({ rounds, step }) =>
    withClosing(async (closing) => {
      const stage = await openStage();
      closing(stage.close);
      const senders = await openSenders(SHARING, stage, closing);
      const ips = await addWarmingIps(stage.tenant, rounds, { plan: 'fourteen-day' });
      const shares: number[][] = [];
      for (const [round, { address }] of ips.entries()) {
        await askAll(senders, { todo: 'lease', ip: address });
        const sent = await askAll<Sent>(senders, { todo: 'send', everyMs: 20, untilDryMs: DRY_MS });
        shares.push(sent.map((one) => one.sent));
        await askAll(senders, { todo: 'close' });
        step(round + 1, rounds);
      }
      const totals = shares.map((sent) => sent.reduce((sum, one) => sum + one, 0));
      const unit = 'sends';
      return {
        rows: [
          {
            figure: 'the sender that got least, in any round',
            measured: spreadOf([Math.min(...shares.flat())]),
            unit,
            mark: { wanted: 3 },
          },
          {
            figure: 'the sender that got most, in any round',
            measured: spreadOf([Math.max(...shares.flat())]),
            unit,
            mark: { wanted: 7, atMost: true },
          },
          { figure: 'all together', measured: spreadOf(totals), unit, mark: { wanted: FIRST_DAY } },
          {
            figure: 'all together, the most of any round',
            measured: spreadOf([Math.max(...totals)]),
            unit,
            mark: { wanted: FIRST_DAY, atMost: true },
          },
        ],
      };
    }),
};
