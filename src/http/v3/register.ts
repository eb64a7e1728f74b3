/** The v3 dialect. Its clients name JSON where they send nothing, and send bodies where nothing is read: both are fine here. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Context } from '../context.ts';
import { registerIps } from './ips.ts';
import { registerPools } from './pools.ts';
import { registerSendIps } from './send-ips.ts';
import { registerSendPools } from './send-pools.ts';
import { registerWarmup } from './warmup.ts';

export function registerV3(app: FastifyInstance, context: Context): void {
  readAnyBody(app);
  registerWarmup(app, context);
  registerPools(app, context);
  registerIps(app, context);
  registerSendIps(app, context);
  registerSendPools(app, context);
}

/** JSON under whatever name it comes; the body of a DELETE is not looked at. */
function readAnyBody(app: FastifyInstance): void {
  const parseJson = app.getDefaultJsonParser('error', 'error');
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'string' }, (request: FastifyRequest, body, done) => {
    if (body.length === 0 || request.method === 'DELETE') done(null, undefined);
    else void parseJson(request, body as string, done);
  });
}

/** Paths as clients of SendGrid write them: a doubled slash in front, and `:` of `ips:batchAdd` encoded. */
export const pathOfV3 = (url: string): string =>
  url.startsWith('/v1/')
    ? url
    : url
        .replace(/^\/{2,}(?=v3\/)/, '/')
        .replace(/^(\/v3\/send_ips\/[^?]*)%3a(batch(?:add|delete)\/?(?:\?|$))/i, '$1:$2');
