/** When will we be done? A campaign walked ahead on a copy of the account as it is. Nothing changes by asking. */
import type { FastifyInstance } from 'fastify';
import { forecastCampaign } from '../fleet/forecast.ts';
import { ASSUMES, ForecastBody, ForecastShape, forecastAnswerOf, readForecast } from '../wire/forecast.ts';
import type { Context } from './context.ts';
import type { RouteDocs } from './openapi.ts';
import { takeTurns } from './turns.ts';

const FORECAST: RouteDocs = {
  summary: 'When a campaign is done: over which IPs and on which days it leaves',
  description: `The rules of the engine on a clock that runs ahead, on a copy of the account as it is now. ${ASSUMES} Compare with \`addIps\` and \`plan\`.`,
  id: 'forecastCampaign',
  group: 'Quota',
  body: ForecastBody,
  answers: { 200: ForecastShape },
  refusals: [404, 409],
  example: { messages: 500_000, pool: 'Newsletters', addIps: 2 },
};

export function registerForecast(app: FastifyInstance, { tenantOf }: Context): void {
  // One over 10 000 IPs takes seconds and a hundred megabytes.
  const inTurn = takeTurns('forecasts', { atOnce: 2, inLine: 8 });
  app.post('/v1/forecast', { config: { scope: 'read', docs: FORECAST } }, async (request) => {
    const asked = readForecast(request.body);
    const told = await inTurn(() => forecastCampaign(tenantOf(request), asked));
    return forecastAnswerOf({ ...told, messages: asked.messages });
  });
}
