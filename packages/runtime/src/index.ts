import { createLogger, type Logger, type Metrics } from "@hawser/trace";
import { claimNode } from "./claim-node.ts";
import { completeConfig, type PartialConfig } from "./config.ts";
import { checkFilesLimit } from "./oci/rlimits.ts";
import type { OCIRuntimeName } from "./oci/runtime.ts";
import { openContext } from "./open-context.ts";
import { pathsOf } from "./paths.ts";
import { recover } from "./recover.ts";
import { createReloader, type Reloader } from "./reload.ts";
import { serve } from "./serve.ts";
import { recordExit } from "./server/container-end.ts";
import { Exits } from "./store/exits.ts";
import { Monitors } from "./store/monitors.ts";

export type { PartialConfig, RuntimeConfig } from "./config.ts";
export type { OCIRuntimeName } from "./oci/runtime.ts";
export { NetworkRemainsError, removeEverything } from "./remove-everything.ts";

export interface RuntimeOptions {
  /** Where its state is. One runtime at a time per root. */
  root: string;
  /** The CRI's Unix socket. */
  socketPath: string;
  /** crun where installed, else runc. */
  ociRuntime?: OCIRuntimeName | undefined;
  config?: PartialConfig;
  log?: Logger;
}

/** A running CRI runtime. Disposing it leaves its containers running. */
export interface Runtime extends AsyncDisposable, Pick<Reloader, "reload"> {
  socketPath: string;
  ociRuntime: { name: OCIRuntimeName; version: string; reason: string };
  metrics: Metrics;
  /** Where /metrics is served, when it is: `http://127.0.0.1:9464/metrics`, `unix:///PATH`. */
  metricsAddress: string | undefined;
}

/**
 * Starts the CRI runtime: finds what an earlier one has left, and serves. Resolves when it is ready.
 * Throws when a setting is none, the root or the state directory is in use, a program is missing, the socket is taken, or the
 * pods' addresses are.
 */
export async function startRuntime(options: RuntimeOptions): Promise<Runtime> {
  const config = completeConfig(options.config ?? {});
  await checkFilesLimit(config.rlimits);
  const log = options.log ?? createLogger({ name: "runtime" });
  const paths = pathsOf(options.root, config.stateDir);
  await using started = new AsyncDisposableStack();
  const node = await claimNode({ config, paths, log }, started);
  const context = await openContext({ config, paths, log, ...node }, { ociRuntime: options.ociRuntime }, started);
  const { oci, images, containers, groups, now, metrics } = context;
  const exits: Exits = started.use(
    new Exits({ directory: paths.exits, log, onExit: (id, exit) => recordExit(context, id, exit) }),
  );
  const monitors = started.use(new Monitors({ containers, exits, log, now }));
  await recover({ ...context, exits, monitors });
  await Promise.all(containers.list().map((container) => groups.endAbandoned(container)));
  const reloader = createReloader({ config, images, log });
  const metricsAddress = await serve({ ...context, exits, monitors, reloader }, options, started);
  const running = started.move();
  return {
    socketPath: options.socketPath,
    ociRuntime: { name: oci.name, version: oci.version, reason: oci.reason },
    metrics,
    metricsAddress,
    reload: reloader.reload,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
