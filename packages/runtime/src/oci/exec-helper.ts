import path from "node:path";
import type { Logger } from "@hawser/trace";
import type { Reaper } from "../native/reaper.ts";
import { type SealedProgram, sealProgram } from "../native/sealed.ts";
import { run } from "../native/spawn.ts";
import type { ContainerRecord } from "../store/records.ts";
import { findPlace, type PlaceDependencies } from "./exec-place.ts";
import { type Place, protocol } from "./exec-request.ts";
import { clampOOMScore, type Host } from "./host.ts";
import type { Process } from "./types.ts";

/** Our own way into a container: native/hawser-exec.c. */
export interface ExecHelper extends Disposable {
  /** To spawn it by; undefined when there is none, and the OCI runtime has to do it all. */
  program: string | undefined;
  /** In words, for the status: which way execs go, and why. */
  reason: string;
  /** Where to enter this container; undefined when the OCI runtime has to. */
  placeOf(container: Pick<ContainerRecord, "id" | "cgroupPath" | "process">): Promise<Place | undefined>;
  /** The command's oom_score_adj, as far as we may set it. */
  clampOOMScore(score: number): number;
}

const file = `hawser-exec-${process.arch}`;
/** Beside the bundle, or where scripts/native.ts puts it for the sources. */
const places = [path.join(import.meta.dirname, file), path.join(import.meta.dirname, "../../dist", file)];

/**
 * Finds the helper and tries whether it runs here. Never throws: without one, execs go through the OCI runtime, and
 * `reason` says why.
 */
export async function openExecHelper(
  dependencies: { reaper: Reaper; host: Host; log: Logger; wanted: boolean } & PlaceDependencies,
): Promise<ExecHelper> {
  const { host, log, oci } = dependencies;
  const found = await sealed(dependencies);
  const program = typeof found === "string" ? undefined : found.path;
  const known = new WeakMap<Process, Promise<Place | undefined>>();
  const look = async (container: Pick<ContainerRecord, "id" | "cgroupPath">) => {
    const place = await findPlace(dependencies, container);
    if (typeof place !== "string") return place;
    log.at(2, "execs of this container go through the OCI runtime", { container: container.id, reason: place });
    return undefined;
  };
  return {
    program,
    reason: typeof found === "string" ? `execs go through ${oci.name} exec: ${found}` : "execs go through hawser-exec",
    placeOf(container) {
      if (!program) return Promise.resolve(undefined);
      let place = known.get(container.process);
      if (!place) {
        place = look(container);
        place.catch(() => known.delete(container.process)); // the next one may be luckier
        known.set(container.process, place);
      }
      return place;
    },
    clampOOMScore: (score) => clampOOMScore(host, score),
    [Symbol.dispose]() {
      if (typeof found !== "string") found[Symbol.dispose]();
    },
  };
}

/** The sealed program, or in words why there is none. */
async function sealed({ reaper, wanted }: { reaper: Reaper; wanted: boolean }): Promise<SealedProgram | string> {
  if (!wanted) return "exec.helper is false";
  for (const place of places) {
    let program: SealedProgram;
    try {
      program = await sealProgram(place, "hawser-exec");
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT") continue;
      return `hawser-exec cannot be loaded: ${code ?? error}`;
    }
    const answer = await run({ reaper }, { path: program.path, args: ["--protocol"] }).catch((error: Error) => error);
    if (answer instanceof Error) {
      program[Symbol.dispose]();
      return `hawser-exec does not run here: ${answer.message}`;
    }
    if (answer.stdout.trim() === protocol) return program;
    program[Symbol.dispose]();
    return "hawser-exec is of another version: make build";
  }
  return `there is no ${file}: make build, with gcc and libc6-dev installed`;
}
