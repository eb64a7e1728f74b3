import { Warmline } from '../../../src/client/index.ts';

const client = new Warmline();

const ip = await client.dedicatedIps.startWarmup('ip_xxxxx');

console.log(ip.status); // 'warming'
console.log(ip.warmingSchedule);
// {
//   totalDays: 14,
//   days: [
//     { day: 1, dailyLimit: 50, cumulativeProgress: 0.07 },
//     { day: 2, dailyLimit: 100, cumulativeProgress: 0.14 },
//     ...
//     { day: 14, dailyLimit: -1, cumulativeProgress: 1.0 }
//   ]
// }
