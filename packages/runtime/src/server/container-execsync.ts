import type { CallContext, ExecSyncRequest, ExecSyncResponseSchema, MessageInitShape } from "@hawser/cri";
import { Code, CRIError } from "@hawser/cri";
import type { ByteSink } from "@hawser/streaming";
import type { Context } from "../context.ts";
import { execInContainer } from "../oci/exec.ts";
import { checkCommand } from "./check-input.ts";
import { execDependencies, runningContainer } from "./container-running.ts";

/** What is kept of each output, bytes; the rest is read and dropped (CVE-2022-1708, CVE-2022-31030). */
export const maxOutputBytes = 16 * 1024 * 1024;

type Dependencies = Pick<Context, "reaper" | "oci" | "helper" | "groups" | "paths" | "config" | "containers">;

/**
 * CRI ExecSync: runs a command and returns its outputs and exit code.
 *
 * Throws NotFound, FailedPrecondition (not running), InvalidArgument (no command), or DeadlineExceeded: the command
 * and all it has started are killed then, as when the caller goes away.
 */
export async function execSync(
  dependencies: Dependencies,
  { containerId, cmd, timeout }: ExecSyncRequest,
  { signal }: CallContext,
): Promise<MessageInitShape<typeof ExecSyncResponseSchema>> {
  checkCommand(cmd);
  const container = runningContainer(dependencies, containerId);
  const seconds = Number(timeout);
  using limit = withDeadline(signal, seconds);
  const [stdout, stderr] = [new Collector(), new Collector()];
  const exitCode = await execInContainer(execDependencies(dependencies), {
    container,
    command: cmd,
    tty: false,
    stdout,
    stderr,
    signal: limit.signal,
    graceMs: 0,
  });
  return { stdout: stdout.bytes(), stderr: stderr.bytes(), exitCode };
}

/**
 * `outer`, and its time; 0 for no limit. Not AbortSignal.any(): what that leaves to the garbage collector holds the event loop.
 */
function withDeadline(outer: AbortSignal, seconds: number): { signal: AbortSignal } & Disposable {
  if (seconds <= 0) return { signal: outer, [Symbol.dispose]() {} };
  const controller = new AbortController();
  const gone = () => controller.abort(outer.reason);
  const timer = setTimeout(
    () => controller.abort(new CRIError(Code.DeadlineExceeded, `command timed out: timeout ${seconds}s exceeded`)),
    Math.min(seconds * 1000, 2 ** 31 - 1),
  );
  outer.addEventListener("abort", gone, { once: true });
  if (outer.aborted) gone();
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      clearTimeout(timer);
      outer.removeEventListener("abort", gone);
    },
  };
}

/** Keeps the first 16 MiB. */
class Collector implements ByteSink {
  readonly #chunks: Uint8Array[] = [];
  #kept = 0;

  async write(chunk: Uint8Array): Promise<void> {
    const room = maxOutputBytes - this.#kept;
    if (room <= 0) return;
    const part = chunk.length > room ? chunk.subarray(0, room) : chunk;
    // A view keeps the whole memory that it was read into.
    this.#chunks.push(part.length * 2 < part.buffer.byteLength ? Buffer.from(part) : part);
    this.#kept += part.length;
  }

  async close(): Promise<void> {}
  async abort(): Promise<void> {}

  bytes(): Uint8Array {
    const [only] = this.#chunks;
    return only && this.#chunks.length === 1 ? only : Buffer.concat(this.#chunks);
  }
}
