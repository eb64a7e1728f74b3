import { Warmline } from '../../../src/client/index.ts';

const client = new Warmline();

const { data: ips } = await client.dedicatedIps.list();

for (const ip of ips) {
  console.log(`${ip.ipAddress}: ${ip.status} (${Math.round(ip.warmup.progress * 100)}%)`);
}
