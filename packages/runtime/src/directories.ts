import { mkdir } from "node:fs/promises";
import { lockFile } from "./native/lock.ts";
import type { Paths } from "./paths.ts";
import { letThrough, lockState, makeStateDir, removeEmptyState } from "./state-dir.ts";

/** A runtime's directories, this process' alone until disposed. */
export interface Directories extends AsyncDisposable {
  /** The topmost directory that had to be made for the state directory, if any. */
  stateMade: string | undefined;
  /** From now on the state directory stays when this is disposed: removeEverything finds it. */
  keep(): void;
}

/**
 * Makes what is missing of a runtime's root and state directory, and takes both. Disposing, or a failure, removes what has been
 * made of the state directory and of the way there, unless it is to be kept.
 *
 * The root's lock comes before anything else is made, so that one who is refused has made nothing but the root, and removes
 * nothing of the other's. Throws when another live runtime has either of them, or anybody may write there.
 */
export async function takeDirectories(paths: Paths): Promise<Directories> {
  const { root, stateDir, sandboxes, containers, ociRoot, exits, sockets, netns, ipam } = paths;
  await using taken = new AsyncDisposableStack();
  await mkdir(root, { recursive: true, mode: 0o711 });
  await letThrough(root);
  taken.use(await lockFile(paths.lock, `runtime root ${root}`));
  const stateMade = await makeStateDir(paths);
  taken.use(await lockState(paths));
  await letThrough(stateDir); // what we have just made passes
  let kept = false;
  taken.defer(async () => {
    if (!kept) await removeEmptyState(paths, stateMade);
  });
  for (const directory of [sandboxes, containers]) await mkdir(directory, { recursive: true, mode: 0o711 });
  for (const directory of [ociRoot, exits, sockets, netns, ipam])
    await mkdir(directory, { recursive: true, mode: 0o700 });
  const held = taken.move();
  return {
    stateMade,
    keep: () => {
      kept = true;
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}
