/** HTML that is escaped by default: what is put into a template is text, unless it came out of one. */

export class Html {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

export type Piece = Html | string | number | false | null | undefined | readonly Piece[];

const ESCAPES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function textOf(piece: Piece): string {
  if (piece === false || piece === null || piece === undefined) return '';
  if (piece instanceof Html) return piece.text;
  if (Array.isArray(piece)) return piece.map(textOf).join('');
  return String(piece).replace(/[&<>"']/g, (char) => ESCAPES[char]!);
}

export const html = (strings: TemplateStringsArray, ...pieces: Piece[]) =>
  new Html(strings.reduce((made, string, index) => made + textOf(pieces[index - 1]) + string));
