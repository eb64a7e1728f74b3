/**
 * What a process tells Prometheus about itself. Each room adds its own metrics to the registry of the process; here is what
 * all have in common, and a door of their own for processes without an API.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { collectDefaultMetrics, Histogram, Registry } from 'prom-client';

export { Registry } from 'prom-client';

/** One for each process: memory, CPU time, and how late the event loop is. */
export function createRegistry(): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  return registry;
}

/** From 50 microseconds, a Redis on the same machine, to a second, at which senders wait. */
const ROUND_TRIP_BUCKETS = [0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.25, 1];

export function roundTripHistogram(registry: Registry): (ms: number) => void {
  const histogram = new Histogram({
    name: 'warmline_redis_round_trip_seconds',
    help: 'How long Redis took to answer: one in 64 script calls, and a PING every 5 seconds.',
    buckets: ROUND_TRIP_BUCKETS,
    registers: [registry],
  });
  return (ms) => histogram.observe(ms / 1000);
}

/** `GET /metrics` and nothing else, without a key: for an address that only the monitoring reaches. */
export async function serveMetrics(
  registry: Registry,
  { host, port }: { host: string; port: number },
): Promise<{ url: string; close(): Promise<void> }> {
  const server = createServer((request, response) => {
    const path = request.url?.split('?', 1)[0];
    if (path !== '/metrics' || (request.method !== 'GET' && request.method !== 'HEAD')) {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('there is only GET /metrics here\n');
      return;
    }
    registry.metrics().then(
      (text) => response.writeHead(200, { 'content-type': registry.contentType }).end(text),
      () => response.writeHead(500).end(),
    );
  });
  server.listen(port, host);
  await once(server, 'listening');
  const { port: taken } = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${taken}/metrics`,
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close').catch(() => {});
    },
  };
}
