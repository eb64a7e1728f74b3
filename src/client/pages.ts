/** Lists come in pages. Awaited, a list is its first page; in `for await` it is every row of every page. */
import type { PageAnswer } from './types.ts';

type Load<Row> = (cursor: string | undefined) => Promise<PageAnswer<Row>>;

/** One page, and in `for await` all rows from its first on. */
export class Page<Row> implements PageAnswer<Row>, AsyncIterable<Row> {
  readonly data: Row[];
  readonly hasMore: boolean;
  readonly nextCursor: string | null;
  readonly #load: Load<Row>;

  constructor(answer: PageAnswer<Row>, load: Load<Row>) {
    this.data = answer.data;
    this.nextCursor = answer.nextCursor ?? null;
    this.hasMore = answer.hasMore;
    this.#load = load;
  }

  /** `null` after the last one. A page may be empty and still have one after it. */
  async nextPage(): Promise<Page<Row> | null> {
    if (this.nextCursor === null) return null;
    return new Page(await this.#load(this.nextCursor), this.#load);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Row, void, undefined> {
    for (let page: Page<Row> | null = this; page !== null; page = await page.nextPage()) yield* page.data;
  }
}

/** A list that nobody has asked for yet: the first `await` or `for await` does. */
export class Listing<Row> implements PromiseLike<Page<Row>>, AsyncIterable<Row> {
  readonly #load: Load<Row>;
  #first: Promise<Page<Row>> | null = null;

  constructor(load: Load<Row>) {
    this.#load = load;
  }

  // biome-ignore lint/suspicious/noThenProperty: `await client.dedicatedIps.list()` is the first page
  then<Kept = Page<Row>, Caught = never>(
    onPage?: ((page: Page<Row>) => Kept | PromiseLike<Kept>) | null,
    onError?: ((error: unknown) => Caught | PromiseLike<Caught>) | null,
  ): Promise<Kept | Caught> {
    return this.#page().then(onPage, onError);
  }

  catch<Caught = never>(
    onError?: ((error: unknown) => Caught | PromiseLike<Caught>) | null,
  ): Promise<Page<Row> | Caught> {
    return this.#page().catch(onError);
  }

  finally(onEnd?: (() => void) | null): Promise<Page<Row>> {
    return this.#page().finally(onEnd);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Row, void, undefined> {
    yield* await this.#page();
  }

  #page(): Promise<Page<Row>> {
    this.#first ??= this.#load(undefined).then((answer) => new Page(answer, this.#load));
    return this.#first;
  }
}
