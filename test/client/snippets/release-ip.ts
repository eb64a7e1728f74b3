import { Warmline } from '../../../src/client/index.ts';

const client = new Warmline();

await client.dedicatedIps.release('ip_xxxxx');
