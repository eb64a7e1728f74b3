/**
 * Is it flat? Half an hour in which something grows by a megabyte a minute looks like any other half hour, so each figure has
 * a slope over the second half of the run and a tolerance that is stated beside it. The slope is the median of all slopes
 * between two points (Theil and Sen): a pause in which a collector or a rewrite of the append-only file ran does not bend it.
 */

export type Point = { atMs: number; value: number };

export type Tolerance = {
  /** Growth over the judged half, as a share of the figure's median there, that is still flat. */
  share: number;
  /** And in absolute terms: noise of a small figure is no growth. */
  slack: number;
};

export type Trend = {
  figure: string;
  unit: 'MB' | 'ms' | 'keys';
  /** Medians of the third and of the last quarter of the run. */
  before: number;
  after: number;
  /** What the slope makes of the judged half. */
  growth: number;
  allowed: number;
  flat: boolean;
};

/** The median of the slopes between all pairs of points, in units per millisecond. */
export function slopeOf(points: readonly Point[]): number {
  const slopes: number[] = [];
  for (const [index, from] of points.entries()) {
    for (const to of points.slice(index + 1)) {
      if (to.atMs !== from.atMs) slopes.push((to.value - from.value) / (to.atMs - from.atMs));
    }
  }
  return slopes.length === 0 ? 0 : medianOf(slopes);
}

export function medianOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length === 0) return Number.NaN;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Judges the second half of the points: in the first, caches fill, pages are touched and code is compiled. */
export function trendOf(
  figure: string,
  unit: Trend['unit'],
  points: readonly Point[],
  { share, slack }: Tolerance,
): Trend {
  const half = points.slice(Math.floor(points.length / 2));
  const middle = Math.floor(half.length / 2);
  const lengthMs = (half.at(-1)?.atMs ?? 0) - (half[0]?.atMs ?? 0);
  const growth = slopeOf(half) * lengthMs;
  const allowed = Math.max(slack, share * Math.abs(medianOf(half.map(({ value }) => value))));
  return {
    figure,
    unit,
    before: medianOf(half.slice(0, middle).map(({ value }) => value)),
    after: medianOf(half.slice(middle).map(({ value }) => value)),
    growth,
    allowed,
    flat: growth <= allowed,
  };
}
