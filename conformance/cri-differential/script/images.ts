import type { Answer, Subject } from "../subject.ts";
import { emptyImage, secondTag, testImage } from "../world.ts";

const pick = ({ images }: Answer) => images?.filter(({ repoTags }: Answer) => !isOther(repoTags));
/** The other runtime needs an image of its own for its pause process. */
const isOther = (tags: string[] | undefined) => tags?.some((tag) => tag.includes("hawser/test"));

/** Images: pulled, named in all ways, removed. Leaves the test images. */
export async function useImages({ call, learn }: Subject): Promise<void> {
  await call("images: none", "ListImages", {}, { pick });
  await call("image status: none", "ImageStatus", { image: { image: testImage } });
  await call("image status: no name", "ImageStatus", { image: { image: "" } });
  await call("image status: no spec", "ImageStatus", {});
  await call("pull: no name", "PullImage", { image: { image: "" } });
  await call("pull: no spec", "PullImage", {});
  await call("pull: not a name", "PullImage", { image: { image: "UPPER//case" } });
  await call("pull: not in the registry", "PullImage", { image: { image: "registry.test/none:1" } });
  await call("pull: no such tag", "PullImage", { image: { image: testImage.replace(/:.*/, ":none") } });
  await call("remove: unknown", "RemoveImage", { image: { image: "registry.test/none:1" } });

  const { imageRef } = await call("pull", "PullImage", { image: { image: testImage } });
  await call("pull: again", "PullImage", { image: { image: testImage } });
  await call("pull: another tag of it", "PullImage", { image: { image: secondTag } });
  await call("pull: without a command", "PullImage", { image: { image: emptyImage } });
  const { image } = await call("image status", "ImageStatus", { image: { image: testImage } });
  learn(imageRef.replace("sha256:", ""), "image");
  for (const [name, reference] of Object.entries({
    "the other tag": secondTag,
    "a digest": image.repoDigests[0],
    "an id": image.id,
    "an id without its algorithm": image.id.replace("sha256:", ""),
    "a shortened id": image.id.replace("sha256:", "").slice(0, 12),
    "a tag that is not there": testImage.replace(/:.*/, ":none"),
    "no tag": testImage.replace(/:.*/, ""),
  })) {
    await call(`image status: ${name}`, "ImageStatus", { image: { image: reference } });
    await call(`images: ${name}`, "ListImages", { filter: { image: { image: reference } } }, { pick });
  }
  await call("images: all", "ListImages", {}, { pick });
  await call("image file system", "ImageFsInfo", {}, { pick: fsInfo });
  await call("remove: by one of two tags", "RemoveImage", { image: { image: secondTag } });
  await call("remove: that again", "RemoveImage", { image: { image: secondTag } });
  await call("images: after the removal", "ListImages", {}, { pick });
  await call("pull: anew", "PullImage", { image: { image: testImage } });
}

const fsInfo = ({ imageFilesystems }: Answer) =>
  imageFilesystems?.map(({ usedBytes, inodesUsed, fsId, timestamp }: Answer) => ({
    usedBytes: Number(usedBytes?.value) > 100_000,
    inodesUsed: Number(inodesUsed?.value) > 10,
    mountpoint: typeof fsId?.mountpoint,
    timestamp: typeof timestamp,
  }));
