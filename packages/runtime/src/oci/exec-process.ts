import type { ExecGroup } from "../cgroup/exec-groups.ts";
import type { ContainerRecord } from "../store/records.ts";
import { OCIError } from "./runtime.ts";
import type { Process } from "./types.ts";

export interface ExecProcessOptions {
  container: Pick<ContainerRecord, "id" | "init" | "process" | "stdioOwner">;
  process: Process;
  group: ExecGroup;
  /** Fires when nobody wants the command any more. What has begun by then is the caller's to end. */
  signal: AbortSignal;
  /** Which streams are to be piped; the others are /dev/null. */
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  /** Bytes the output pipes should hold. */
  outputBytes?: number;
  /**
   * Resolves with what is known at last (a terminal's size) before the process file is handed over: the same for each attempt.
   */
  finishProcess?: (process: Process) => Promise<Process>;
}

/** A command on its way in a container. The descriptors are ours to close. */
export interface ExecProcess {
  /** The OCI runtime's own process, which is in the command's group but no part of it, for as long as it is there. */
  runtimePid?: (() => number | undefined) | undefined;
  stdin?: number | undefined;
  stdout?: number | undefined;
  stderr?: number | undefined;
  /** Ends the waiting for who does not tell how the command ended: `exited` rejects then. */
  giveUp?: (() => void) | undefined;
  /** With a terminal: its master, ours to close; undefined when the command has ended without one. */
  master?: (() => Promise<number | undefined>) | undefined;
  /** How it ended. Rejects with OCIError when the command could not even be tried. */
  exited: Promise<ExecExit>;
}

export interface ExecExit {
  code: number;
  /** Why the command was not found (127) or could not be executed (126). */
  failure?: string;
}

/** What a failure before the command's first instruction means: crun's words, runc's, and our helper's. */
export function whyNotRun(failure: string): ExecExit {
  if (/not found|no such file or directory/i.test(failure) && /executable|exec|stat /i.test(failure)) {
    return { code: 127, failure };
  }
  if (
    /permission denied|operation not permitted|exec format error|is a directory/i.test(failure) &&
    /exec|open executable/i.test(failure)
  ) {
    return { code: 126, failure };
  }
  throw new OCIError("exec", failure);
}
