import { Warmline } from '../../../src/client/index.ts';

const client = new Warmline();

const ip = await client.dedicatedIps.get('ip_xxxxx');

console.log(ip.warmup.progress); // 0.5 (50%)
console.log(ip.warmup.currentDailyLimit); // 5000
console.log(ip.warmup.startedAt); // '2025-01-10T10:00:00Z'
