import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { type CRIConnection, connectCRI, upload } from "@hawser/cri";
import { type PartialConfig, removeEverything } from "@hawser/runtime";
import { runtimeHeapFlags } from "@hawser/runtime/heap-flags";
import { type ImageOptions, inChunks, makeArchive } from "../../crun/support/image.ts";
import { image, testConfig } from "../../crun/support/runtime.ts";
import type { Arm, Counted } from "./steps.ts";

/** How long a runtime that dies at a step, or was killed, may take, milliseconds. */
const killPatience = 10_000;
/** How long one may take to answer a step's question, or to take an image, milliseconds. */
const answerPatience = 60_000;
/** How long one may take to start, milliseconds: on a machine that is busy with other things the modules alone take many seconds. */
const startPatience = 60_000 * Number(process.env.HAWSER_SLOWNESS ?? 1); // gRPC's clock is not conformance/vm's
const here = import.meta.dirname;

export interface FaultyOptions {
  /** A folder that exists, such as a small file system; otherwise a new one. */
  root?: string;
  config?: PartialConfig;
  /** Goes before PATH: programs in place of crun, conmon and others. */
  programs?: string;
  /** No image is loaded. */
  bare?: boolean;
  verbosity?: number;
}

/** `hawser runtime` as a process of its own that can be killed, at any step, and started again on the same root. */
export interface FaultyRuntime extends AsyncDisposable {
  root: string;
  socketPath: string;
  readonly cri: CRIConnection;
  readonly pid: number;
  /** All that its processes have written to stderr. */
  output(): string;
  /** From now on it dies at the `killAt`th step, or at the first whose name matches; 0 counts only. */
  arm(killAt: number | RegExp): Promise<void>;
  /** The steps since it was armed. */
  counted(): Promise<string[]>;
  /** Resolves when the process is gone. Rejects when it lives on for 10 s: nobody has killed it then. */
  gone(): Promise<void>;
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Starts it again, after its end. */
  start(): Promise<void>;
  load(options: ImageOptions): Promise<void>;
}

export async function startFaulty(options: FaultyOptions = {}): Promise<FaultyRuntime> {
  const root = options.root ?? (await mkdtemp(path.join(tmpdir(), "hawser-faults-")));
  const socketPath = path.join(root, "run.sock");
  const configFile = path.join(root, "config.yaml");
  await writeFile(configFile, JSON.stringify({ ...testConfig(), ...options.config }));
  const temporary = path.join(root, "tmp");
  await mkdir(temporary, { recursive: true });
  let output = "";
  let child: ChildProcess | undefined;
  let cri: CRIConnection | undefined;
  let ended = Promise.resolve();

  const start = async () => {
    const program = ["--import", path.join(here, "steps.ts"), path.join(here, "runtime-main.ts")];
    const flags = ["--root", root, "--socket", socketPath, "--config", configFile, "--oci-runtime", "crun"];
    const before = options.programs ? `${options.programs}:` : "";
    const environment = { ...process.env, PATH: `${before}${process.env.PATH}`, TMPDIR: temporary };
    const fresh = spawn(
      process.execPath,
      [...runtimeHeapFlags(), "--no-warnings", ...program, ...flags, "-v", String(options.verbosity ?? 2)],
      { stdio: ["ignore", "ignore", "pipe", "ipc"], env: environment, cwd: here },
    );
    fresh.stderr?.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
    ended = new Promise((resolve) => {
      fresh.once("exit", () => resolve());
      fresh.once("error", (error) => {
        output += String(error);
        if (fresh.pid === undefined) resolve(); // it could not be started: there is no exit
      });
    });
    child = fresh;
    const failed = ended.then(() => Promise.reject(new Error(`the runtime has ended: ${output.slice(-2000)}`)));
    failed.catch(() => undefined);
    const connecting = connectCRI({ endpoint: `unix://${socketPath}`, timeoutMs: startPatience });
    connecting.then((late) => late !== cri && fresh.exitCode !== null && late.close()).catch(() => undefined);
    cri = await Promise.race([connecting, failed]);
    await Promise.race([cri.runtime.version({}), failed]);
  };
  const ask = async (message: Arm | "count"): Promise<string[]> => {
    if (!child) throw new Error("not started");
    const answer = once(child, "message", { signal: AbortSignal.timeout(answerPatience) });
    child.send(message);
    const [counted] = (await answer) as [Counted];
    return counted.steps;
  };
  const load = async (given: ImageOptions) => {
    const archive = await makeArchive(given);
    await upload({
      endpoint: `unix://${socketPath}`,
      path: "/hawser.v1.Images/Load",
      chunks: inChunks(archive),
      signal: AbortSignal.timeout(answerPatience),
    });
  };
  const isGone = async () => {
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(new Error("the runtime lives on")), killPatience);
    await Promise.race([ended, late]).finally(() => clearTimeout(timer));
  };
  const kill = async (signal: NodeJS.Signals = "SIGKILL") => {
    cri?.close();
    child?.kill(signal);
    await isGone();
  };
  const dispose = async () => {
    await kill();
    await removeEverything(root);
    if (!options.root) await rm(root, { recursive: true, force: true });
  };
  try {
    await start();
    if (!options.bare) await load({ name: image });
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    root,
    socketPath,
    get cri() {
      if (!cri) throw new Error("not started");
      return cri;
    },
    get pid() {
      return child?.pid ?? 0;
    },
    output: () => output,
    arm: async (killAt) => {
      await ask({ killAt: typeof killAt === "number" ? killAt : killAt.source });
    },
    counted: () => ask("count"),
    gone: async () => {
      await isGone();
      cri?.close();
    },
    kill,
    start,
    load,
    [Symbol.asyncDispose]: dispose,
  };
}
