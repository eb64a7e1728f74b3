import { defineSchedule } from './schedule.ts';

/**
 * Fourteen days of daily limits.
 *
 * Days 1, 2, 3, 7, 10 and 14 (marked "given") are printed in the public documentation of the `/v1/dedicated-ips` API
 * that this engine speaks. The other days are ours: from 250 to 5 000 the 1 - 2.5 - 5 steps nearest to the geometric
 * fill (a factor of 2.11 a day), from 5 000 to 40 000 exact doubling, and from 40 000 on the steps 70 000, 100 000 and
 * 150 000 of the ladder that Braze and SendGrid publish. No step grows more than 2.5-fold, and growth slows at the end.
 */
export default defineSchedule({
  id: 'fourteen-day',
  title: 'Fourteen days of daily limits',
  source:
    'Days 1, 2, 3, 7, 10 and 14 from the /v1/dedicated-ips documentation; the days between from published ladders.',
  daily: [
    { day: 1, dailyLimit: 50 }, //       given
    { day: 2, dailyLimit: 100 }, //      given
    { day: 3, dailyLimit: 250 }, //      given
    { day: 4, dailyLimit: 500 }, //      ours
    { day: 5, dailyLimit: 1_000 }, //    ours
    { day: 6, dailyLimit: 2_500 }, //    ours
    { day: 7, dailyLimit: 5_000 }, //    given
    { day: 8, dailyLimit: 10_000 }, //   ours
    { day: 9, dailyLimit: 20_000 }, //   ours
    { day: 10, dailyLimit: 40_000 }, //  given
    { day: 11, dailyLimit: 70_000 }, //  ours
    { day: 12, dailyLimit: 100_000 }, // ours
    { day: 13, dailyLimit: 150_000 }, // ours
    { day: 14, dailyLimit: null }, //    given: unlimited
  ],
});
