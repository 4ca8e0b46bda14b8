import { readFile, writeFile } from "node:fs/promises";

/**
 * Makes a bundle ASCII. V8 keeps the source for as long as the process lives, and with a single character beyond Latin-1 it keeps
 * all of it at two bytes a character: 2.3 MB more in the runtime, for a dash in somebody's comment. esbuild escapes what
 * it finds in code, except in regular expressions.
 *
 * Throws where such a character stands in anything but a comment.
 */
export async function keepToASCII(file: string): Promise<void> {
  const text = await readFile(file, "utf8");
  const plain = commentsInASCII(text, file);
  if (plain !== text) await writeFile(file, plain);
}

/** The text with `?` for each such character in a line that is a comment. */
export function commentsInASCII(text: string, name: string): string {
  return text.replaceAll(/^.*[^\0-\x7f].*$/gm, (line) => {
    if (!/^\s*(\*|\/\/|\/\*)/.test(line)) throw new Error(`${name}: not ASCII, and not a comment: ${line.trim()}`);
    return line.replaceAll(/[^\0-\x7f]/gu, "?");
  });
}
