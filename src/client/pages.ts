/** Lists come in pages. Awaited, a list is its first page; in `for await` it is every row of every page. */
import type { PageAnswer } from './types.ts';

type Load<Row, More> = (cursor: string | undefined) => Promise<PageAnswer<Row> & More>;
/** What the answer says besides, such as the `gap` of a stream, stands on the page too. */
type PageOf<Row, More> = Page<Row, More> & More;

/** One page, and in `for await` all rows from its first on. */
export class Page<Row, More = unknown> implements PageAnswer<Row>, AsyncIterable<Row> {
  readonly data: Row[];
  readonly hasMore: boolean;
  readonly nextCursor: string | null;
  readonly #load: Load<Row, More>;

  constructor(answer: PageAnswer<Row> & More, load: Load<Row, More>) {
    const { data, hasMore, nextCursor, ...more } = answer;
    this.data = data;
    this.hasMore = hasMore;
    this.nextCursor = nextCursor;
    Object.assign(this, more);
    this.#load = load;
  }

  /** `null` after the last one. A page may be empty and still have one after it. */
  async nextPage(): Promise<PageOf<Row, More> | null> {
    if (this.nextCursor === null) return null;
    return pageOf(await this.#load(this.nextCursor), this.#load);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Row, void, undefined> {
    for (let page: Page<Row, More> | null = this; page !== null; page = await page.nextPage())
      yield* page.data;
  }
}

const pageOf = <Row, More>(answer: PageAnswer<Row> & More, load: Load<Row, More>) =>
  new Page(answer, load) as PageOf<Row, More>;

/** A list that nobody has asked for yet: the first `await` or `for await` does. */
export class Listing<Row, More = unknown> implements PromiseLike<PageOf<Row, More>>, AsyncIterable<Row> {
  readonly #load: Load<Row, More>;
  #first: Promise<PageOf<Row, More>> | null = null;

  constructor(load: Load<Row, More>) {
    this.#load = load;
  }

  // biome-ignore lint/suspicious/noThenProperty: `await client.dedicatedIps.list()` is the first page
  then<Kept = PageOf<Row, More>, Caught = never>(
    onPage?: ((page: PageOf<Row, More>) => Kept | PromiseLike<Kept>) | null,
    onError?: ((error: unknown) => Caught | PromiseLike<Caught>) | null,
  ): Promise<Kept | Caught> {
    return this.#page().then(onPage, onError);
  }

  catch<Caught = never>(
    onError?: ((error: unknown) => Caught | PromiseLike<Caught>) | null,
  ): Promise<PageOf<Row, More> | Caught> {
    return this.#page().catch(onError);
  }

  finally(onEnd?: (() => void) | null): Promise<PageOf<Row, More>> {
    return this.#page().finally(onEnd);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Row, void, undefined> {
    yield* await this.#page();
  }

  #page(): Promise<PageOf<Row, More>> {
    this.#first ??= this.#load(undefined).then((answer) => pageOf(answer, this.#load));
    return this.#first;
  }
}
