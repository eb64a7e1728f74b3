/**
 * The books of the demo: what was granted, delivered, refunded and spent on failures, by IP, day and hour. They are kept
 * from what the senders and the sink say, apart from the counts in Redis, and held against the published tables.
 */
import type { Limits } from '../../warmup/plan.ts';

export type HourBook = {
  warmupDay: number;
  hour: number;
  /** Sends granted by address, less what was given back. */
  granted: Map<string, number>;
  /** Sends that the sink took, by remote address. */
  delivered: Map<string, number>;
};

export type DayRow = {
  warmupDay: number;
  limit: number | null;
  sendable: number;
  granted: number;
  delivered: number;
  overflow: number;
};

export function openBooks(warming: readonly string[], limitsOn: (warmupDay: number) => Limits) {
  const hours: HourBook[] = [];
  const totals = {
    offered: 0,
    granted: 0,
    delivered: 0,
    refunded: 0,
    bounced: 0,
    deferred: 0,
    held: 0,
    lost: 0,
  };
  const problems: string[] = [];
  const sum = (map: Map<string, number>, addresses: readonly string[]) =>
    addresses.reduce((total, address) => total + (map.get(address) ?? 0), 0);

  /** No hour and no day of any IP may have more than the tables say, whichever side counted. */
  function check(hour: HourBook): void {
    const { dailyLimit, hourlyCap } = limitsOn(hour.warmupDay);
    for (const address of warming) {
      for (const side of ['granted', 'delivered'] as const) {
        const inHour = hour[side].get(address) ?? 0;
        if (hourlyCap !== null && inHour > hourlyCap) {
          problems.push(
            `${address} was over its hour: ${side} ${inHour} of ${hourlyCap} in hour ${hour.hour} of day ${hour.warmupDay}`,
          );
        }
        const day = hours.filter(({ warmupDay }) => warmupDay === hour.warmupDay);
        const inDay = day.reduce((total, one) => total + (one[side].get(address) ?? 0), 0);
        if (dailyLimit !== null && inDay > dailyLimit) {
          problems.push(
            `${address} was over its day: ${side} ${inDay} of ${dailyLimit} on day ${hour.warmupDay}`,
          );
        }
      }
    }
  }

  return {
    totals,
    problems,
    /** An hour is over: nothing is under way any more. */
    close(hour: HourBook): void {
      hours.push(hour);
      this.deliver(hour.delivered);
      check(hour);
    },
    deliver(delivered: Map<string, number>): void {
      for (const sends of delivered.values()) totals.delivered += sends;
    },
    /** One row for each warm-up day, over all warming IPs; what went elsewhere is overflow. */
    days(sendableOn: (warmupDay: number) => number): DayRow[] {
      const days = [...new Set(hours.map(({ warmupDay }) => warmupDay))];
      return days.map((warmupDay) => {
        const those = hours.filter((hour) => hour.warmupDay === warmupDay);
        const { dailyLimit } = limitsOn(warmupDay);
        const all = (side: 'granted' | 'delivered') =>
          those.reduce((total, hour) => total + [...hour[side].values()].reduce((a, b) => a + b, 0), 0);
        const own = (side: 'granted' | 'delivered') =>
          those.reduce((total, hour) => total + sum(hour[side], warming), 0);
        return {
          warmupDay,
          limit: dailyLimit === null ? null : dailyLimit * warming.length,
          sendable: sendableOn(warmupDay) * warming.length,
          granted: own('granted'),
          delivered: own('delivered'),
          overflow: all('granted') - own('granted'),
        };
      });
    },
  };
}
