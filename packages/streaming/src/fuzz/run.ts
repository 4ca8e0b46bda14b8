// Fuzzes the codecs: node packages/streaming/src/fuzz/run.ts [SECONDS] [--keep] [TARGET...]
//
// Inputs are mutations of the corpus and of what was found on the way; one that reaches new code is mutated further, and with
// --keep the shortest that reach everything become the corpus. One that breaks a promise is kept as broken-HASH, which the tests replay, and ends the run with 1.

import { rm } from "node:fs/promises";
import { join } from "node:path";
import { corpusFolder, keep, readCorpus } from "./corpus.ts";
import { type Coverage, measureCoverage } from "./coverage.ts";
import { mutate, randomNumbers } from "./mutate.ts";
import { type Target, targets } from "./targets.ts";

/** Inputs between two looks at the coverage, which takes as long as a few of them. */
const batch = 16;
/** Milliseconds one input may take: more is a hang. */
const hangMs = 5000;
/** Bytes an input may have to stay in the corpus. */
const maxKept = 512;

const words = process.argv.slice(2);
const seconds = Number(words.find((word) => /^\d+$/.test(word)) ?? 60);
const keeping = words.includes("--keep");
const chosen = Object.keys(targets).filter((name) => {
  const asked = words.filter((word) => Object.hasOwn(targets, word));
  return asked.length === 0 || asked.includes(name);
});
const seed = Date.now() & 0xffff_ffff;
console.log(`fuzzing ${chosen.join(", ")} for ${seconds} s, seed ${seed}`);

let stray: unknown;
process.on("uncaughtException", (error) => {
  stray ??= error;
});
process.on("unhandledRejection", (error) => {
  stray ??= error;
});

let failures = 0;
for (const name of chosen) {
  const target = targets[name];
  if (target) failures += await fuzz(name, target, (seconds * 1000) / chosen.length);
}
process.exitCode = failures > 0 ? 1 : 0;
setTimeout(() => process.exit(), 100).unref();

async function fuzz(name: string, target: Target, milliseconds: number): Promise<number> {
  using coverage: Coverage = measureCoverage();
  const random = randomNumbers(seed);
  const stored = (await readCorpus(name)).map(({ input }) => input);
  const pool = stored.length > 0 ? [...stored] : [Buffer.from([0]), Buffer.from([1])];
  for (const input of pool) if (!(await survives(name, target, input))) return 1;
  coverage.fresh();
  const end = performance.now() + milliseconds;
  let runs = 0;
  while (performance.now() < end) {
    const inputs = Array.from({ length: batch }, () => {
      const from = pool[Math.floor(random() * pool.length)] ?? Buffer.alloc(0);
      return mutate(from, pool, random);
    });
    for (const input of inputs) if (!(await survives(name, target, input))) return 1;
    runs += batch;
    if (coverage.fresh() === 0) continue;
    // Which of them it was cannot be told any more, since what it reached is no longer new: all are worth a mutation.
    pool.push(...inputs);
  }
  const kept = keeping ? await trim(name, target, pool) : stored.length;
  console.log(`${name}: ${runs} inputs, ${pool.length - stored.length} worth more, ${kept} in the corpus`);
  return 0;
}

/** Keeps of all inputs those that reach what no shorter one does, and what once broke something. Resolves with their number. */
async function trim(name: string, target: Target, inputs: Buffer[]): Promise<number> {
  const broken = (await readCorpus(name)).filter((one) => one.name.startsWith("broken-"));
  await rm(join(corpusFolder, name), { recursive: true, force: true });
  for (const { input } of broken) await keep(name, input, "broken-");
  using coverage: Coverage = measureCoverage();
  let kept = 0;
  for (const input of inputs.toSorted((a, b) => a.byteLength - b.byteLength)) {
    await survives(name, target, input);
    if (coverage.fresh() === 0 || input.byteLength > maxKept) continue;
    await keep(name, input);
    kept++;
  }
  return kept + broken.length;
}

async function survives(name: string, target: Target, input: Buffer): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const hang = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no end after ${hangMs} ms`)), hangMs);
  });
  try {
    await Promise.race([target(input), hang]);
    if (stray) throw stray;
    return true;
  } catch (error) {
    stray = undefined;
    console.error(`${name}: ${await keep(name, input, "broken-")}`);
    console.error(error);
    return false;
  } finally {
    clearTimeout(timer);
  }
}
