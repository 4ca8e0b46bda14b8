import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Logger, silentLogger } from "@hawser/trace";
import { type ImageStore, openImageStore } from "../store.ts";
import type { ImageStoreConfig } from "../store-config.ts";

export interface TestStore extends AsyncDisposable {
  store: ImageStore;
  root: string;
  /** Closes the store and opens another on the same root, as a restarted runtime does. */
  reopen(log?: Logger): Promise<ImageStore>;
}

/** A store in a directory of its own; disposing unmounts the root file systems of the given containers and removes it all. */
export async function testStore(
  config: ImageStoreConfig = {},
  containers: string[] = [],
  log: Logger = silentLogger,
): Promise<TestStore> {
  const root = await mkdtemp(join(tmpdir(), "hawser-images-"));
  let store = await openImageStore({ root, log, config });
  return {
    root,
    get store() {
      return store;
    },
    async reopen(log = silentLogger) {
      await store[Symbol.asyncDispose]();
      store = await openImageStore({ root, log, config });
      return store;
    },
    async [Symbol.asyncDispose]() {
      for (const container of containers) await store.releaseRootfs(container);
      await store[Symbol.asyncDispose]();
      await rm(root, { recursive: true, force: true });
    },
  };
}
