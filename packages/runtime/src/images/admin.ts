import type { Upload } from "@hawser/cri";
import type { ImageStore } from "./store.ts";

/**
 * Loads an archive over the runtime's socket. Each message is a piece of the archive, without an envelope; the answer
 * is JSON, `{"images": […]}`.
 */
export const loadMethod = "/hawser.v1.Images/Load";

/** What the runtime serves beside the CRI: give it to serveCRI as `uploads`. */
export function imagesAdminService(store: Pick<ImageStore, "load">): Record<string, Upload> {
  return {
    [loadMethod]: async (chunks, { signal }) => {
      const images = await store.load(chunks, { signal });
      return Buffer.from(JSON.stringify({ images }));
    },
  };
}
