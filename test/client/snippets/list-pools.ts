import { Warmline } from '../../../src/client/index.ts';

const client = new Warmline();

const { data: pools } = await client.dedicatedIps.listPools();

for (const pool of pools) {
  console.log(`${pool.name}: ${pool.ipCount} IPs (default: ${pool.isDefault})`);
}
