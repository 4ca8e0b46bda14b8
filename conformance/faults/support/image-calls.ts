import assert from "node:assert/strict";
import type { CRIConnection } from "@hawser/cri";
import { tarArchive, tarEntry } from "@hawser/tar";
import type { Registry } from "@hawser/testing";
import { inPieces, ociArchive, testImage } from "../../../packages/runtime/src/images/testing/image.ts";
import { pushArchive } from "../../../scripts/push-image.ts";
import { type Cut, nothing } from "./calls.ts";

const layers = ["lower", "upper"].map((text) => tarArchive([tarEntry({ name: text }, text.repeat(20_000))]));
const made = testImage(layers);
const name = "faults/cut:1";

/** Puts the image of imageCuts() into a registry. */
export async function pushCutImage({ host }: Registry): Promise<void> {
  await pushArchive({ archive: inPieces(ociArchive(made)), reference: `${host}/${name}` });
}

/** PullImage and RemoveImage, for kill.test.ts; the registry is asked for when it is there. */
export function imageCuts(registry: () => Registry): Cut[] {
  const image = () => ({ image: `${registry().host}/${name}` });
  const isThere = async (cri: CRIConnection) => (await cri.images.imageStatus({ image: image() })).image !== undefined;
  const after: Cut["after"] = async (cri) => {
    const { images } = await cri.images.listImages({});
    assert.ok(images.filter(({ id }) => id === made.id).length <= 1, "doubled");
    assert.equal((await cri.images.pullImage({ image: image() })).imageRef, made.id);
    const { image: found } = await cri.images.imageStatus({ image: image() });
    assert.deepEqual(found?.repoTags, [image().image]);
    await cri.images.removeImage({ image: image() });
    assert.equal(await isThere(cri), false);
  };
  return [
    {
      name: "PullImage",
      short: [0.4, 0.9],
      prepare: nothing,
      call: (cri) => cri.images.pullImage({ image: image() }),
      undone: async (cri) => !(await isThere(cri)),
      after,
    },
    {
      name: "RemoveImage",
      short: [0.5],
      async prepare(cri) {
        await cri.images.pullImage({ image: image() });
        return await nothing();
      },
      call: (cri) => cri.images.removeImage({ image: image() }),
      undone: isThere,
      after,
    },
  ];
}
