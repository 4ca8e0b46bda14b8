import type { KubeClient } from "./client.ts";
import type { CopyFromOptions, CopyResult, CopyToOptions } from "./cp/types.ts";

export * from "./cp/types.ts";

/**
 * Copies a file or directory out of a container: with the container's tar, or without one where its node runs Hawser's runtime.
 *
 * The archive is not trusted: nothing is written outside `to`, whatever it says. A file appears when it is whole, in the place of an
 * older one. Links that lead out of the tree, devices and pipes are left out with a warning; set-id bits are dropped.
 *
 * Throws CopyError, what `exec` throws, and what the file system throws.
 */
export async function copyFrom(client: KubeClient, options: CopyFromOptions): Promise<CopyResult> {
  const { download } = await import("./cp/download.ts");
  return await download(client, options);
}

/**
 * Copies a file or directory, or a stream's content, into a container. Throws as `copyFrom` does.
 */
export async function copyTo(client: KubeClient, options: CopyToOptions): Promise<CopyResult> {
  const { upload } = await import("./cp/upload.ts");
  return await upload(client, options);
}
