import type { Context } from "../context.ts";
import { ConfDir } from "./conf-dir.ts";
import type { Network } from "./connect.ts";
import { addRules } from "./rules.ts";

/** The pods' network, of which nothing is made yet: the first pod has its rules added. */
export function openNetwork({
  config,
  paths,
  reaper,
  log,
  bridge,
  execProgram,
}: Pick<Context, "config" | "paths" | "reaper" | "log" | "execProgram"> & { bridge: string }): Network {
  const { podCIDR, cniBinDir, cniConfDir } = config;
  const commands = { reaper, timeoutMs: config.cniTimeoutSeconds * 1000 };
  let ready: Promise<void> | undefined;
  return {
    cni: { ...commands, binDir: cniBinDir },
    name: bridge,
    podCIDR,
    ipamDir: paths.ipam,
    program: execProgram.path,
    netnsDir: paths.netns,
    confDir: cniConfDir ? new ConfDir({ path: cniConfDir, log: log.named("network") }) : undefined,
    log,
    ready() {
      ready ??= addRules(commands, { hash: paths.hash, bridge, podCIDR });
      ready.catch(() => {
        ready = undefined; // the next pod tries again
      });
      return ready;
    },
  };
}
