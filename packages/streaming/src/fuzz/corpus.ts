import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** Inputs that once reached new code, or broke something: a folder for each target. */
export const corpusFolder = join(import.meta.dirname, "../../fuzz/corpus");

/** The inputs of a target, in the order of their names; none where it has no folder. */
export async function readCorpus(target: string): Promise<{ name: string; input: Buffer }[]> {
  const folder = join(corpusFolder, target);
  const names = await readdir(folder).catch(() => []);
  return Promise.all(names.sort().map(async (name) => ({ name, input: await readFile(join(folder, name)) })));
}

/** Keeps an input, named by its content. Resolves with its path. */
export async function keep(target: string, input: Buffer, prefix = ""): Promise<string> {
  const folder = join(corpusFolder, target);
  await mkdir(folder, { recursive: true });
  const name = `${prefix}${createHash("sha256").update(input).digest("hex").slice(0, 12)}`;
  await writeFile(join(folder, name), input);
  return join(folder, name);
}
