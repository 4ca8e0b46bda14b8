// The image of the post's pod: made of Debian's packages, pushed to a genuine registry, pulled from there as `nginx`.
import { join } from "node:path";
import { checkout, must, type On, type Registry, startRegistry } from "@hawser/testing";
import { type ImageName, makeImage } from "./make-nginx-image.ts";

/** A registry on a host's loopback that has `nginx` and `busybox` where Docker Hub has them. */
export async function registryWithImages(
  on: On = (command) => command,
  names: ImageName[] = ["nginx", "busybox"],
): Promise<Registry> {
  const registry = await startRegistry({ launcher: on });
  try {
    for (const name of names) {
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
