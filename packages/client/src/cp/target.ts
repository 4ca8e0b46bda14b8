import { posix } from "node:path";
import { archiveCommandLine } from "@hawser/tar";
import type { KubeClient } from "../client.ts";
import { vacantScript } from "./beside.ts";
import { argument } from "./paths.ts";
import { runRemote } from "./remote.ts";
import { CopyError, type CopyToOptions } from "./types.ts";

/** How long the container may think about whether its path is a directory, milliseconds. Source: kubectl pkg/cmd/cp/cp.go */
const lookPatience = 30_000;

/** Where an upload goes to, in the container's words. */
export interface Target {
  directory: string;
  base: string;
}

/** Where tar is to unpack, and under which name: in the path where that is a directory, as the path otherwise. */
export async function targetOf(client: KubeClient, options: CopyToOptions, base: string): Promise<Target> {
  const path = posix.normalize(options.path).replace(/(?<=.)\/+$/, "");
  const late = AbortSignal.timeout(lookPatience);
  const signal = options.signal ? AbortSignal.any([options.signal, late]) : late;
  const ask = (command: string[]) =>
    runRemote(client, options, command, { signal }).catch((cause: unknown) => {
      if (cause !== late.reason) throw cause;
      const message = `the container has not said within ${lookPatience / 1000} s whether ${path} is a directory`;
      throw new CopyError("stuck", message, { cause });
    });
  let { exitCode, missing } = await ask(["test", "-d", path]);
  if (missing) ({ exitCode } = await ask(archiveCommandLine({ verb: "is-directory", path })));
  if (exitCode === 0) return { directory: path, base };
  return { directory: posix.dirname(path), base: posix.basename(path) };
}

/** Whether nothing stands yet where a tree goes to, so that it can appear there as a whole. One that is there is added to. */
export async function isVacant(
  client: KubeClient,
  options: CopyToOptions,
  { directory, base }: Target,
): Promise<boolean> {
  if (base === "." || base === "..") return false;
  const place = argument(posix.join(directory, base));
  const { exitCode } = await runRemote(client, options, ["sh", "-c", vacantScript, "sh", place], {});
  return exitCode === 0;
}
