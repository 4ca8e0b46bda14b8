import { Code, CRIError, type ImageService } from "@hawser/cri";
import type { Image } from "./records.ts";
import type { ImageStore } from "./store.ts";

/** Images in one part of StreamImages. */
const imagesPerPart = 100;

/** The CRI's ImageService over an image store. */
export function imageService(store: ImageStore, now: () => number = Date.now): ImageService {
  return {
    async listImages({ filter }) {
      return { images: store.list(filter?.image?.image).map(toCRI) };
    },

    async *streamImages({ filter }) {
      const images = store.list(filter?.image?.image).map(toCRI);
      for (let at = 0; at < images.length; at += imagesPerPart) yield { images: images.slice(at, at + imagesPerPart) };
    },

    /** An image that is not there is no error, but an answer without one. */
    async imageStatus({ image, verbose }) {
      const found = store.status(nameOf(image));
      if (!found) return {};
      if (!verbose) return { image: toCRI(found) };
      const info = JSON.stringify({ chainID: found.chainIDs.at(-1) ?? "", imageSpec: await store.config(found.id) });
      return { image: toCRI(found), info: { info } };
    },

    async pullImage({ image, auth }, { signal }) {
      const { id } = await store.pull({ reference: nameOf(image), auth, signal });
      return { imageRef: id };
    },

    async removeImage({ image }) {
      await store.remove(nameOf(image));
      return {};
    },

    async imageFsInfo() {
      const { mountpoint, usedBytes, inodesUsed } = store.fsInfo();
      const usage = {
        timestamp: BigInt(now()) * 1_000_000n,
        fsId: { mountpoint },
        usedBytes: { value: BigInt(usedBytes) },
        inodesUsed: { value: BigInt(inodesUsed) },
      };
      return { imageFilesystems: [usage], containerFilesystems: [usage] };
    },
  };
}

/** An image as the CRI has it; a user that is a number is a uid, as in containerd's getUserFromImage. */
function toCRI({ id, repoTags, repoDigests, size, user, pinned }: Image) {
  const name = user.split(":")[0] ?? "";
  const isNumber = /^[0-9]{1,10}$/.test(name);
  return {
    id,
    repoTags,
    repoDigests,
    size: BigInt(size),
    username: isNumber ? "" : name,
    ...(isNumber && { uid: { value: BigInt(name) } }),
    pinned,
  };
}

function nameOf(image: { image: string } | undefined): string {
  if (!image?.image) throw new CRIError(Code.InvalidArgument, "image name must not be empty");
  return image.image;
}
