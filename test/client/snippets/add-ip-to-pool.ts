import { Warmline } from '../../../src/client/index.ts';

const client = new Warmline();

const ip = await client.dedicatedIps.addIpToPool('pool_xxxxx', {
  ipId: 'ip_xxxxx',
});

console.log(ip.poolId); // 'pool_xxxxx'
