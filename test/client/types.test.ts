import { expectTypeOf, test } from 'vitest';
import type { z } from 'zod';
import type * as client from '../../src/client/index.ts';
import type { DemandAnswer, DemandQuery } from '../../src/wire/demand.ts';
import type { ExplainAnswer } from '../../src/wire/explain.ts';
import type { ForecastAnswer, ForecastBody } from '../../src/wire/forecast.ts';
import type {
  IpQuota,
  ManyTakes,
  OneTake,
  PoolQuota,
  REFUND_BODY,
  TakeAnswerShape,
  TakeAnswersShape,
} from '../../src/wire/quota.ts';
import type {
  AccountHoldChangeShape,
  AccountHoldShape,
  ChangeShape,
  ClockChangeShape,
} from '../../src/wire/shapes.ts';
import type {
  AddIpBody,
  CreatePoolBody,
  HoldBody,
  holdOf,
  ipOf,
  ListIpsQuery,
  ledgerOf,
  poolOf,
  START_BODY,
  scheduleOf,
} from '../../src/wire/v1.ts';
import type {
  CreateBody as CreateWebhookBody,
  DeliveryShape,
  NewWebhookShape,
  UpdateBody as UpdateWebhookBody,
  WebhookEvent,
  webhookOf,
} from '../../src/wire/webhooks.ts';

// The client has plain types of its own; the compiler holds them against what the server builds and parses.

/** Every `Given` can be used as a `Promised`; what is wrong is an error of the compiler. */
const fits = <_Given extends Promised, Promised>() => {};
type TakeAnswer = z.output<typeof TakeAnswerShape>;
type Asked<Schema extends z.ZodType> = NonNullable<z.input<Schema>>;

test('what the server answers is what the client promises', () => {
  // The list of holds holds no null, though its type says so.
  fits<Omit<ReturnType<typeof ipOf>, 'holds'>, Omit<client.DedicatedIp, 'holds'>>();
  fits<ReturnType<typeof poolOf>, client.Pool>();
  fits<NonNullable<ReturnType<typeof holdOf>>, client.Hold>();
  fits<z.output<typeof AccountHoldShape>, client.AccountHold>();
  fits<z.output<typeof AccountHoldChangeShape>, client.AccountHoldChange>();
  fits<ReturnType<typeof ledgerOf>, client.Ledger>();
  fits<ReturnType<typeof scheduleOf>, client.WarmingSchedule>();
  fits<IpQuota, client.IpQuota>();
  fits<PoolQuota, client.PoolQuota>();
  fits<TakeAnswer, client.TakeAnswer>();
  fits<ExplainAnswer, client.Explanation>();
  fits<DemandAnswer, client.Demand>();
  fits<ForecastAnswer, client.Forecast>();
  fits<z.output<typeof TakeAnswersShape>, client.TakeAnswers>();
  fits<z.output<typeof ChangeShape>, client.Change>();
  fits<ReturnType<typeof webhookOf>, client.Webhook>();
  fits<z.output<typeof NewWebhookShape>, client.CreatedWebhook>();
  fits<z.output<typeof DeliveryShape>, client.WebhookDelivery>();
  fits<WebhookEvent, client.WebhookEvent>();
  fits<keyof client.DemandParams, keyof Asked<typeof DemandQuery>>();
  fits<client.CreateWebhookParams, Asked<typeof CreateWebhookBody>>();
  fits<client.UpdateWebhookParams, Asked<typeof UpdateWebhookBody>>();
  fits<z.output<typeof ClockChangeShape>, client.EngineChange>();
});

test('the client knows every field of an answer', () => {
  expectTypeOf<keyof ReturnType<typeof ipOf>>().toEqualTypeOf<keyof client.DedicatedIp>();
  expectTypeOf<keyof ReturnType<typeof ipOf>['warmup']>().toEqualTypeOf<keyof client.WarmupProgress>();
  expectTypeOf<keyof ReturnType<typeof poolOf>>().toEqualTypeOf<keyof client.Pool>();
  expectTypeOf<keyof ReturnType<typeof webhookOf>>().toEqualTypeOf<keyof client.Webhook>();
  expectTypeOf<keyof z.output<typeof DeliveryShape>>().toEqualTypeOf<keyof client.WebhookDelivery>();
  expectTypeOf<keyof IpQuota>().toEqualTypeOf<keyof client.IpQuota>();
  expectTypeOf<keyof PoolQuota>().toEqualTypeOf<keyof client.PoolQuota>();
  expectTypeOf<keyof TakeAnswer>().toEqualTypeOf<keyof client.TakeAnswer>();
  expectTypeOf<keyof ExplainAnswer>().toEqualTypeOf<keyof client.Explanation>();
  expectTypeOf<keyof ExplainAnswer['ips'][number]>().toEqualTypeOf<keyof client.ExplainedIp>();
  expectTypeOf<keyof ForecastAnswer>().toEqualTypeOf<keyof client.Forecast>();
  expectTypeOf<keyof ForecastAnswer['days'][number]>().toEqualTypeOf<keyof client.ForecastDay>();
});

test('what the client may ask, the server understands', () => {
  fits<client.StartWarmupParams, Asked<typeof START_BODY>>();
  fits<client.HoldParams, Asked<typeof HoldBody>>();
  fits<client.CreatePoolParams, Asked<typeof CreatePoolBody>>();
  fits<{ ipId: string }, Asked<typeof AddIpBody>>();
  fits<client.TakeParams, Asked<typeof OneTake>>();
  fits<client.TakeManyParams, Asked<typeof ManyTakes>>();
  fits<client.ForecastParams, Asked<typeof ForecastBody>>();
  fits<{ refunds: client.Refund[] }, Asked<typeof REFUND_BODY>>();
  expectTypeOf<keyof client.StartWarmupParams>().toEqualTypeOf<keyof Asked<typeof START_BODY>>();
  expectTypeOf<keyof client.ForecastParams>().toEqualTypeOf<keyof Asked<typeof ForecastBody>>();
  expectTypeOf<keyof client.TakeParams>().toEqualTypeOf<keyof Asked<typeof OneTake>>();
  expectTypeOf<keyof client.ListIpsParams>().toEqualTypeOf<keyof Asked<typeof ListIpsQuery>>();
});
