// The image of the post's pod: made of Debian's packages, pushed to a genuine registry, pulled from there as `nginx`.
import { join } from "node:path";
import { checkout, must, type Registry, startRegistry } from "@hawser/testing";
import { makeImage } from "../scripts/make-nginx-image.ts";
import type { On } from "./observe.ts";

/** A registry on a host's loopback that has `nginx` and `busybox` where Docker Hub has them. */
export async function registryWithImages(on: On): Promise<Registry> {
  const registry = await startRegistry({ launcher: on });
  try {
    for (const name of ["nginx", "busybox"] as const) {
      const archive = await makeImage(name);
      const push = join(checkout, "scripts/push-image.ts");
      await must(on([process.execPath, push, archive, `${registry.host}/library/${name}:latest`]));
    }
    return registry;
  } catch (err) {
    await registry[Symbol.asyncDispose]();
    throw err;
  }
}
