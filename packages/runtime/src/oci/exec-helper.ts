import type { Logger } from "@hawser/trace";
import type { Reaper } from "../native/reaper.ts";
import { orAborted } from "../or-aborted.ts";
import type { ContainerRecord } from "../store/records.ts";
import { findPlace, type PlaceDependencies } from "./exec-place.ts";
import { type Porter, startPorter } from "./exec-porter.ts";
import type { ExecProgram } from "./exec-program.ts";
import type { Place } from "./exec-request.ts";
import { clampOOMScore, type Host } from "./host.ts";
import type { Process } from "./types.ts";

/** Our own way into containers: packages/runtime/native/. */
export interface ExecHelper extends AsyncDisposable {
  /** In words, for the log and the status: which way execs go, and why. */
  reason: string;
  /** Where to enter this container; undefined when the OCI runtime has to. */
  placeOf(container: Pick<ContainerRecord, "id" | "cgroupPath" | "process">): Place | Promise<Place | undefined>;
  /**
   * Porter.enter(), by a porter that was started again if need be: the one that has taken them, or undefined. One that begins
   * nothing is ended by who finds it so: the next exec starts another. Throws the signal's reason.
   */
  enter(descriptors: readonly number[], signal: AbortSignal): Promise<Porter | undefined>;
  /** The command's oom_score_adj, as far as we may set it. */
  clampOOMScore(score: number): number;
}

type Dependencies = {
  reaper: Reaper;
  host: Host;
  log: Logger;
  program: ExecProgram;
} & PlaceDependencies;

/**
 * Starts the helper. Never throws: without one, execs go through the OCI runtime, and `reason` says why.
 */
export async function openExecHelper(dependencies: Dependencies): Promise<ExecHelper> {
  const { host, log, oci, program } = dependencies;
  if (program.path === undefined) return noHelper(dependencies, program.reason);
  const { path } = program;
  let closed = false;
  /** Undefined when it could not be started. */
  let porter: Promise<Porter | undefined>;
  try {
    porter = Promise.resolve(await startPorter(dependencies, path));
  } catch (error) {
    return noHelper(dependencies, `hawser-exec does not run here: ${error instanceof Error ? error.message : error}`);
  }
  const again = async (former: Promise<Porter | undefined>) => {
    await (await former)?.[Symbol.asyncDispose]();
    if (closed) return undefined;
    return await startPorter(dependencies, path).catch((error: unknown) => {
      log.warn("hawser-exec does not start again", { error: error instanceof Error ? error.message : String(error) });
      return undefined;
    });
  };
  const known = new WeakMap<Process, Place | Promise<Place | undefined>>();
  const look = async (container: Pick<ContainerRecord, "id" | "cgroupPath">) => {
    const place = await findPlace(dependencies, container);
    if (typeof place !== "string") return place;
    log.at(2, "execs of this container go through the OCI runtime", { container: container.id, reason: place });
    return undefined;
  };
  return {
    reason: "execs go through hawser-exec",
    placeOf(container) {
      const { process } = container;
      const place = known.get(process);
      if (place) return place;
      const looked = look(container);
      known.set(process, looked);
      looked.then(
        (found) => found && known.set(process, found),
        () => known.delete(process), // the next one may be luckier
      );
      return looked;
    },
    async enter(descriptors, signal) {
      const tried = porter;
      // Who does not wait any more closes the descriptors: nothing is entered behind his back.
      const first = await orAborted(tried, signal);
      if (await first?.enter(descriptors, signal)) return first;
      signal.throwIfAborted();
      if (closed) return undefined;
      if (tried === porter) {
        log.warn(`hawser-exec has ended: it is started again, and until then execs go through ${oci.name}`);
        porter = again(tried); // at once: of all that find it ended, one starts another
      }
      const second = await orAborted(porter, signal);
      if (await second?.enter(descriptors, signal)) return second;
      signal.throwIfAborted();
      return undefined;
    },
    clampOOMScore: (score) => clampOOMScore(host, score),
    async [Symbol.asyncDispose]() {
      closed = true;
      await (await porter)?.[Symbol.asyncDispose]();
    },
  };
}

function noHelper({ oci, host }: Dependencies, why: string): ExecHelper {
  return {
    reason: `execs go through ${oci.name} exec: ${why}`,
    placeOf: () => Promise.resolve(undefined),
    enter: () => Promise.resolve(undefined),
    clampOOMScore: (score) => clampOOMScore(host, score),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
