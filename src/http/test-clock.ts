/** The test clock over HTTP: read it, and move the time of the whole engine forward. */

import type { FastifyInstance } from 'fastify';
import { DateTime, Duration } from 'luxon';
import { z } from 'zod';
import { nowOf } from '../fleet/engine.ts';
import { advanceTo, checkTestClock } from '../fleet/test-clock.ts';
import { invalid } from '../warmup/errors.ts';
import { anyText, flag, instant, instantMs, parse } from '../wire/parse.ts';
import { ClockChangeShape } from '../wire/shapes.ts';
import { changeOf } from '../wire/v1.ts';
import type { Context } from './context.ts';
import type { RouteDocs } from './openapi.ts';

const AdvanceBody = z.strictObject({
  by: anyText('an ISO 8601 duration (example: P1D)').optional().describe('How far, as an ISO 8601 duration.'),
  to: instantMs().optional().describe('Or to which instant.'),
  work: flag()
    .default(true)
    .describe('Do the work that falls due on the way; `false` is as if no worker ran.'),
});

const now = z.iso.datetime({ offset: true }).describe('The time of the whole engine.');
const READ: RouteDocs = {
  summary: 'What time the test clock shows',
  id: 'getTestClock',
  answers: { 200: z.strictObject({ now }).meta({ id: 'TestClock' }) },
  refusals: [409],
};
const ADVANCE: RouteDocs = {
  summary: 'Move the time of the whole engine forward',
  description: 'Does all work that falls due on the way, instant by instant, and then answers.',
  id: 'advanceTestClock',
  body: AdvanceBody,
  answers: {
    200: z.strictObject({ now, changes: z.array(ClockChangeShape) }).meta({ id: 'TestClockAdvanced' }),
  },
  refusals: [409],
  example: { by: 'P1D' },
};

/** A warm-up takes weeks; whoever wants centuries has mistaken the unit, and would wait long for the answer. */
const MOST_YEARS_AT_ONCE = 10;

export function registerTestClock(app: FastifyInstance, { engine, tellAllDemand }: Context): void {
  const inTurn = oneAfterTheOther();

  app.get('/v1/test-clock', { config: { docs: READ } }, async () => {
    checkTestClock(engine);
    return { now: instant(await nowOf(engine)) };
  });

  app.post('/v1/test-clock/advance', { config: { scope: 'admin', docs: ADVANCE } }, async (request) => {
    checkTestClock(engine);
    const body = parse(AdvanceBody, request.body);
    return inTurn(async () => {
      const nowMs = await nowOf(engine);
      const toMs = destination(body, nowMs);
      // What was wanted until now belongs to the hour that it was wanted in.
      await tellAllDemand();
      const changes = await advanceTo(engine, toMs, { work: body.work });
      return { now: instant(await nowOf(engine)), changes: changes.map(changeOf) };
    });
  });
}

function destination({ by, to }: z.output<typeof AdvanceBody>, nowMs: number): number {
  if ((by === undefined) === (to === undefined)) {
    throw invalid('by', 'say either by (a duration, example: P1D) or to (an instant), and not both');
  }
  const now = DateTime.fromMillis(nowMs, { zone: 'UTC' });
  const toMs = to ?? now.plus(durationOf(by!)).toMillis();
  const latest = now.plus({ years: MOST_YEARS_AT_ONCE });
  if (!(toMs <= latest.toMillis())) {
    throw invalid(
      by === undefined ? 'to' : 'by',
      `a test clock moves ${MOST_YEARS_AT_ONCE} years at once at most, from here to ${instant(latest.toMillis())}`,
    );
  }
  return toMs;
}

function durationOf(by: string): Duration {
  const duration = Duration.fromISO(by);
  const ms = duration.toMillis();
  if (!Number.isFinite(ms))
    throw invalid('by', `by is "${by.slice(0, 60)}"; it must be an ISO 8601 duration (example: P1D)`);
  if (ms < 0) throw invalid('by', `by is "${by.slice(0, 60)}"; a test clock only moves forward`);
  return duration;
}

/** Two who move the clock at once would each do a part of the work and list a part of the changes. */
function oneAfterTheOther() {
  let last: Promise<unknown> = Promise.resolve();
  return <Result>(work: () => Promise<Result>): Promise<Result> => {
    const mine = last.then(work, work);
    last = mine;
    return mine;
  };
}
