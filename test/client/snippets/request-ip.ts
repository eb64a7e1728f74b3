import { Warmline } from '../../../src/client/index.ts';

const client = new Warmline();

const ip = await client.dedicatedIps.create();

console.log(ip.ipAddress); // '10.123.45.67'
console.log(ip.status); // 'provisioning'
