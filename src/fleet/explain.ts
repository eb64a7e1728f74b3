/** Why is the mail held? The limiter's own account of a take, with what the records add: status, holds and the names of pools. */
import { isIPv6 } from 'node:net';
import type { TakeAnswer } from '../redis/answer.ts';
import { explainTake } from '../redis/explain.ts';
import type { Limiter, TakeRequest } from '../redis/limiter.ts';
import { invalid } from '../warmup/errors.ts';
import type { ExplainedPool, Explanation } from '../warmup/explanation.ts';
import { findIpId, loadIp, loadIps } from './change.ts';
import { nowIn, type Tenant } from './engine.ts';
import { getPool } from './pools.ts';

/**
 * What a take would be answered at this moment, and why. Nothing is taken and nothing is counted.
 * @throws WarmlineError `not_found` as the take itself
 */
export async function explain(
  tenant: Tenant,
  limiter: Pick<Limiter, 'unknown'>,
  request: TakeRequest,
): Promise<{ answer: TakeAnswer; explanation: Explanation }> {
  const { count = 1, partial = false, family, among = [] } = request;
  const target =
    request.ip === undefined
      ? {
          pool: request.pool ?? '',
          family: family ?? null,
          among: await Promise.all([...new Set(among)].map((ip) => addressOf(tenant, ip))),
        }
      : {
          address: await addressOf(tenant, request.ip),
          id: request.ip.startsWith('ip_') ? request.ip : null,
        };
  if ('address' in target && family !== undefined && (isIPv6(target.address) ? 6 : 4) !== family) {
    throw invalid(
      'family',
      `${target.address} is not an IPv${family} address; leave family out when an ip is named`,
    );
  }
  const reply = await explainTake(tenant.engine.scripts, tenant.account, { count, partial, target });
  if (reply === null) return unpublished(tenant, request, await limiter.unknown(request));
  const { answer, nowMs, scope, ipCount, gate, ceiling } = reply;
  const [records, pool] = await Promise.all([
    loadIps(
      tenant,
      reply.ips.map(({ ipId }) => ipId),
    ),
    scope === 'ip' || scope === 'all' ? null : getPool(tenant, scope),
  ]);
  const recordOf = new Map(records.map((record) => [record.id, record]));
  const limits = gate ?? { warmingShare: 1, used: 0, warmingUsed: 0, warmingMay: null };
  const explained: ExplainedPool | null = pool && { id: pool.id, name: pool.name, ...limits, ceiling };
  return {
    answer,
    explanation: {
      ...{ nowMs, count, partial, ipCount },
      verdict: answer,
      isOneIp: scope === 'ip',
      pool: explained,
      ips: reply.ips.map((one) => ({ ...one, record: recordOf.get(one.ipId) ?? null })),
    },
  };
}

const addressOf = async (tenant: Tenant, ip: string) =>
  ip.startsWith('ip_') ? (await loadIp(tenant, ip)).address : ip;

/** There is such an IP, and it gives nothing: it was released, or the worker has not published it yet. */
async function unpublished(
  tenant: Tenant,
  { ip, count = 1, partial = false }: TakeRequest,
  answer: TakeAnswer,
) {
  const record = await loadIp(tenant, await findIpId(tenant, ip!));
  const nothing = { limit: 0, used: 0, fromMs: 0, toMs: 0 };
  const nowMs = await nowIn(tenant);
  const explanation: Explanation = {
    ...{ nowMs, count, partial, verdict: answer, isOneIp: true, pool: null, ipCount: 1 },
    ips: [
      {
        ...{ ip: record.address, ipId: record.id, granted: 0, record },
        ...{ room: 0, binds: 'status', limit: 0, remaining: 0, resetsAtMs: nowMs },
        ...{ roomAtMs: null, roomThen: 0, day: nothing, hour: nothing, bucket: null },
      },
    ],
  };
  return { answer, explanation };
}
