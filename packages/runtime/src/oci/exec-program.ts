import path from "node:path";
import { sealProgram } from "../native/sealed.ts";

/** hawser-exec, sealed, or why there is none: packages/runtime/native/. */
export type ExecProgram = ({ path: string } | { path?: never; reason: string }) & Disposable;

const file = `hawser-exec-${process.arch}`;
/** Beside the bundle, or where scripts/native.ts puts it for the sources. */
const places = [path.join(import.meta.dirname, file), path.join(import.meta.dirname, "../../dist", file)];

/** The mark of the starter of the runtime with this root, or rather its hash: a later one ends it by that (endWorkers). */
export function starterMark({ hash }: { hash: string }): string {
  return `starter-${hash}`;
}

/** Finds and seals it, if it is `wanted`. Never throws: the runtime does without, and `reason` says why it has to. */
export async function openExecProgram(wanted: boolean): Promise<ExecProgram> {
  if (!wanted) return none("exec.helper is false");
  for (const place of places) {
    try {
      return await sealProgram(place, "hawser-exec");
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== "ENOENT") return none(`hawser-exec cannot be loaded: ${code ?? error}`);
    }
  }
  return none(`there is no ${file}: make build, with gcc and libc6-dev installed`);
}

/** hawser-exec that turned out not to run here. */
export function noProgram(error: unknown): ExecProgram {
  return none(`hawser-exec does not run here: ${error instanceof Error ? error.message : error}`);
}

function none(reason: string): ExecProgram {
  return { reason, [Symbol.dispose]() {} };
}
