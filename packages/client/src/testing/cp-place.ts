import { createHash } from "node:crypto";
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient, type KubeClient } from "../client.ts";
import { type FakeContainer, type FakeContainerOptions, fakeContainer } from "./fake-container.ts";

/** Where all copies go. */
export const target = { namespace: "default", pod: "web" };

/** A container with a working directory, and a folder here. */
export interface Place extends AsyncDisposable {
  container: FakeContainer;
  client: KubeClient;
  /** The container's working directory. */
  there: string;
  here: string;
}

export async function openPlace(options: Partial<FakeContainerOptions> = {}): Promise<Place> {
  await using stack = new AsyncDisposableStack();
  const folder = await fs.mkdtemp(join(tmpdir(), "hawser-cp-"));
  stack.defer(() => fs.rm(folder, { recursive: true, force: true }));
  const [there, here] = [join(folder, "there"), join(folder, "here")];
  await Promise.all([fs.mkdir(there), fs.mkdir(here)]);
  const container = stack.use(await fakeContainer({ directory: there, ...options }));
  const client = stack.use(createClient(container.server.config));
  const kept = stack.move();
  return { container, client, there, here, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

/** SHA-256, in hex, of a file. */
export async function digest(path: string): Promise<string> {
  return createHash("sha256")
    .update(await fs.readFile(path))
    .digest("hex");
}
