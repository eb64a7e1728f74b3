/** What a part of the benchmark is: one file, one function, which may fail without harm to the others. */
import type { RoundOptions } from './measure.ts';
import type { Result } from './report.ts';

export type Part = {
  title: string;
  /** Belongs to the run without a part's name. */
  inAll: boolean;
  run(options: PartOptions): Promise<Result>;
};

export type PartOptions = RoundOptions & {
  /** A look: fewer rounds, smaller fleets. */
  quick: boolean;
};

/** Closes in the reverse order of opening, also when the part failed. */
export async function withClosing<T>(work: (closing: Closing) => Promise<T>): Promise<T> {
  const opened: (() => unknown)[] = [];
  try {
    return await work((close) => void opened.push(close));
  } finally {
    for (const close of opened.reverse()) await close();
  }
}

export type Closing = (close: () => unknown) => void;
