import { createHash } from "node:crypto";
import path from "node:path";

/** Where a runtime has what. Names that the whole host sees carry `hash`, so that two runtimes do not collide. */
export interface Paths {
  root: string;
  /** Eight hex digits of the root's path. */
  hash: string;
  stateDir: string;
  lock: string;
  /** Says which other places belong to this root: read by removeEverything. */
  places: string;
  sandboxes: string;
  containers: string;
  /** Where state that cannot be understood is moved to. */
  corrupt: string;
  pauseRoot: string;
  ociRoot: string;
  exits: string;
  sockets: string;
  netns: string;
  ipam: string;
  /** cgroup2 of our own, on hosts that have none mounted. */
  cgroup2: string;
}

/** Below it are the state directories of runtimes that were told of no other. */
export const defaultState = "/run/hawser";

export function pathsOf(root: string, stateDir: string): Paths {
  const absolute = path.resolve(root);
  const hash = createHash("sha256").update(absolute).digest("hex").slice(0, 8);
  const state = stateDir ? path.resolve(stateDir) : path.join(defaultState, hash);
  return {
    root: absolute,
    hash,
    stateDir: state,
    lock: path.join(absolute, "lock"),
    places: path.join(absolute, "runtime.json"),
    sandboxes: path.join(absolute, "sandboxes"),
    containers: path.join(absolute, "containers"),
    corrupt: path.join(absolute, "corrupt"),
    pauseRoot: path.join(absolute, "pause"),
    ociRoot: path.join(state, "oci"),
    exits: path.join(state, "exits"),
    sockets: path.join(state, "s"),
    netns: path.join(state, "netns"),
    ipam: path.join(state, "ipam"),
    cgroup2: path.join(state, "cgroup2"),
  };
}
