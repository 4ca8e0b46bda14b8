// Compiled code of a command, kept for the next time it is run. Node's own cache holds what is compiled when a file is
// loaded; most functions are compiled when they are first called, which took `hawser exec` 10 ms each time.
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire, getCompileCacheDir } from "node:module";
import { dirname, join } from "node:path";
import { Script } from "node:vm";

/** Bytes of the digest that a kept file begins with: of the source and of the code behind it. */
const digestBytes = 32;
/** Bytes of a kept file; larger ones are not read. */
const maxKeptBytes = 16 * 1024 * 1024;

/**
 * The exports of a bundle, a CommonJS file, with the code kept under `name` from a run that ended with exit code 0; where
 * there is none that fits, this run's is kept when it ends so. What is kept lies in the user's own cache folder, beside
 * Node's; where Node is to keep nothing, nothing is.
 *
 * Reads and writes synchronously: at the start there is nothing else to do, at the end nothing else can be done.
 */
export async function loadWithKeptCode<Exports>(file: string, name: string): Promise<Exports> {
  const require = createRequire(file);
  const folder = getCompileCacheDir();
  if (folder === undefined) return require(file) as Exports;
  const { createHash, hash } = await import("node:crypto");
  const source = readFileSync(file);
  const digestOf = (code: Buffer) => createHash("sha256").update(source).update(code).digest();
  const kept = join(folder, `${name}-${hash("sha256", file).slice(0, 8)}.code`);
  const cachedData = read(kept, digestOf);
  const parameters = "(function (exports, require, module, __filename, __dirname) {";
  const script = new Script(`${parameters}${source}\n})`, { filename: file, cachedData });
  if (!cachedData || script.cachedDataRejected) {
    process.once("exit", (code) => {
      if (code === 0) keep(kept, { code: script.createCachedData(), digestOf });
    });
  }
  const module = { exports: {} };
  script.runInThisContext().call(module.exports, module.exports, require, module, file, dirname(file));
  return module.exports as Exports;
}

type Digest = (code: Buffer) => Buffer;

/** V8 trusts what it is given: nothing that was written for another source, or not to its end, may reach it. */
function read(kept: string, digestOf: Digest): Buffer | undefined {
  try {
    const bytes = readFileSync(kept);
    const code = bytes.subarray(digestBytes);
    const fits = bytes.length <= maxKeptBytes && digestOf(code).equals(bytes.subarray(0, digestBytes));
    return fits ? code : undefined;
  } catch {
    return undefined; // not there, or not to be read: it is compiled as the first time
  }
}

/** A command that cannot keep its code is none the worse for it. */
function keep(kept: string, { code, digestOf }: { code: Buffer; digestOf: Digest }): void {
  if (code.length > maxKeptBytes - digestBytes) return;
  try {
    const aside = mkdtempSync(`${kept}.`);
    try {
      const whole = join(aside, "code");
      writeFileSync(whole, Buffer.concat([digestOf(code), code]), { mode: 0o600 });
      renameSync(whole, kept);
    } finally {
      rmSync(aside, { recursive: true, force: true });
    }
  } catch {
    // a full or read-only disk
  }
}
