/** The README, and what is in its blocks of code, for the tests that run them. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const readme = readFileSync(fileURLToPath(new URL('../README.md', import.meta.url)), 'utf8');

export const blocks = [...readme.matchAll(/^```(.*)\n([\s\S]*?)^```$/gm)].map(([, language = '', text = '']) => ({
  language,
  text,
}));

export const textsIn = (language: string): string[] =>
  blocks.filter((block) => block.language === language).map(({ text }) => text);
