import { Code, CRIError } from "@hawser/cri";
import type { Context } from "../context.ts";
import type { ContainerRecord } from "../store/records.ts";

/** A container by id that runs. Throws NotFound or FailedPrecondition. */
export function runningContainer({ containers }: Pick<Context, "containers">, id: string): ContainerRecord {
  const container = containers.get(id);
  if (container.state !== "running") {
    throw new CRIError(Code.FailedPrecondition, `container "${container.id}" is not running: it is ${container.state}`);
  }
  return container;
}

/** What an exec needs of the runtime. */
export function execDependencies({
  reaper,
  oci,
  helper,
  groups,
  paths,
  config,
}: Pick<Context, "reaper" | "oci" | "helper" | "groups" | "paths" | "config">) {
  return {
    reaper,
    oci,
    helper,
    groups,
    socketDir: paths.sockets,
    graceMs: config.exec.graceSeconds * 1000,
    drainMs: config.exec.drainSeconds * 1000,
  };
}
