import { open } from "node:fs/promises";
import { createLogger, type Logger } from "@hawser/trace";
import { descriptorOf } from "./config-pipe.ts";
import { type CommandLine, type Flags, readConfiguration, readFlags } from "./flags.ts";
import { runtimeHeapFlags } from "./heap-flags.ts";
import type { Runtime } from "./index.ts";
import { replaceProcess } from "./native/exec.ts";

/**
 * `hawser runtime …`: runs until SIGTERM or SIGINT, and leaves its containers running; reads its configuration again on
 * SIGHUP. Resolves with the exit code.
 */
export async function main(argv: string[]): Promise<number> {
  process.title = "hawser-runtime";
  const complain = (error: unknown) => {
    process.stderr.write(`hawser runtime: ${error instanceof Error ? error.message : error}\n`);
  };
  let line: CommandLine;
  try {
    const flags = readFlags(argv);
    if ("print" in flags) {
      process.stdout.write(flags.print);
      return 0;
    }
    useSmallHeap(flags); // before the rest is loaded, and a pipe is read
    line = await readConfiguration(flags);
  } catch (error) {
    complain(error);
    process.stderr.write("See 'hawser runtime --help'.\n");
    return 2;
  }
  const [{ startRuntime }, { favourThisThread, favourThreadsOfV8 }, { giveHeapRoom }, { trimMemory }] =
    await Promise.all([
      import("./index.ts"),
      import("./native/priority.ts"),
      import("./heap.ts"),
      import("./native/memory.ts"),
    ]);
  const log = createLogger({ name: "runtime", verbosity: () => line.verbosity });
  log.at(2, "priority of the event loop", { nice: favourThisThread() });
  favourThreadsOfV8();
  const { promise: stopped, resolve: stop } = Promise.withResolvers<string>();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => stop(signal));
  const wasOnTerminal = process.stdin.isTTY || process.stderr.isTTY;
  let runtime: Runtime | undefined;
  let hungUp = false; // before there was a runtime: read again once it stands
  const reload = async () => {
    if (wasOnTerminal && !(await terminalIsThere())) return stop("SIGHUP: the terminal has gone");
    if (!runtime) hungUp = true;
    else if (line.configFile === undefined) log.info("no --config, so there is nothing to read again");
    else {
      let next = line;
      const taken = await runtime.reload(async () => {
        if (line.fromPipe) throw new Error(`--config ${line.configFile} is a pipe: it was read at the start, once`);
        next = await readConfiguration(line);
        return next.options.config;
      });
      if (taken) line = next;
    }
  };
  process.on("SIGHUP", () => void reload());
  try {
    await using started = await startRuntime({ ...line.options, log });
    using _room = giveHeapRoom({ trim: trimMemory });
    const { name, version, reason } = started.ociRuntime;
    log.info("hawser-runtime ready", {
      socket: started.socketPath,
      ociRuntime: `${name} ${version}`,
      reason,
      ...(started.metricsAddress !== undefined && { metrics: started.metricsAddress }),
    });
    runtime = started;
    if (hungUp) void reload();
    await tellManager("READY=1", log);
    log.info("stopping; containers go on", { signal: await stopped });
    runtime = undefined;
    await tellManager("STOPPING=1", log);
  } catch (error) {
    log.error("runtime ends", { error });
    complain(error);
    return 1;
  }
  return 0;
}

/** A service manager that cannot be told decides by itself; containers and calls are no worse for it. */
async function tellManager(state: string, log: Logger): Promise<void> {
  if (!process.env.NOTIFY_SOCKET) return;
  const { notify } = await import("./native/notify.ts");
  await notify(state).catch((error: unknown) => log.warn("service manager not told", { state, error }));
}

/** SIGHUP is for a daemon the wish to reload, and for a program on a terminal that the terminal has gone. */
async function terminalIsThere(): Promise<boolean> {
  const terminal = await open("/dev/tty").catch(() => undefined);
  await terminal?.close();
  return terminal !== undefined;
}

/**
 * V8 takes these flags only at a process' start: unless whoever started us gave them, we start once more, as the same process.
 * Not where our program is not a file (node -e), and not twice.
 */
function useSmallHeap({ configFile }: Flags): void {
  const [program] = process.argv.slice(1);
  const given = process.execArgv.some((flag) => flag.startsWith("--max-semi-space-size"));
  if (given || !program || process.execArgv.includes("-e")) return;
  const descriptor = configFile === undefined ? undefined : descriptorOf(configFile);
  const keep = descriptor === undefined ? [] : [descriptor];
  replaceProcess(process.execPath, [...runtimeHeapFlags(), ...process.execArgv, ...process.argv.slice(1)], { keep });
}
