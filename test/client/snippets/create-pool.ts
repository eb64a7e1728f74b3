import { Warmline } from '../../../src/client/index.ts';

const client = new Warmline();

const pool = await client.dedicatedIps.createPool({
  name: 'Transactional',
  isDefault: true,
});

console.log(pool.id); // 'pool_xxxxx'
console.log(pool.name); // 'Transactional'
