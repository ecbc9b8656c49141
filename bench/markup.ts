/** HTML and SVG put together so that no text can be taken for markup. */

/** Text that is markup already. */
export class Markup {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

type Insert = string | number | Markup | readonly Insert[];

/**
 * A template of markup: texts and numbers in it are escaped, markup stays as it is, and lists are joined.
 *
 * @example
 * markup`<p title="${name}">${lines.map((line) => markup`${line}<br />`)}</p>`
 */
export function markup(template: TemplateStringsArray, ...inserts: Insert[]): Markup {
  return new Markup(template.reduce((text, part, index) => text + textOf(inserts[index - 1] ?? '') + part));
}

function textOf(insert: Insert): string {
  if (insert instanceof Markup) return insert.text;
  if (typeof insert === 'number') return String(insert);
  if (typeof insert === 'string') return insert.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
  return insert.map(textOf).join('');
}
