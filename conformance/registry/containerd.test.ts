// The same images from the same registry by the genuine containerd and by our store: both must report the same.
// Where containerd 1.6 and 2.x differ (401, 5xx), we say what 2.x says, and nothing is compared here.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type CRIConnection, CRIError, connectCRI } from "@hawser/cri";
import { freePort, type Registry, startRegistry } from "@hawser/testing";
import { imageService } from "../../packages/runtime/src/images/index.ts";
import { type TestStore, testStore } from "../../packages/runtime/src/images/testing/store.ts";
import { makeImage } from "../../scripts/make-nginx-image.ts";
import { pushArchive } from "../../scripts/push-image.ts";
import { type Containerd, startContainerd, whyNoContainerd } from "../containerd/containerd.ts";
import { proxyTo } from "./proxy.ts";

describe("images as containerd reports them", { skip: await whyNoContainerd() }, () => {
  const stack = new AsyncDisposableStack();
  let registry: Registry;
  let containerd: Containerd;
  let cri: CRIConnection;
  let ours: TestStore;
  before(async () => {
    registry = stack.use(await startRegistry());
    await pushArchive({ archive: await makeImage("nginx"), reference: `${registry.host}/library/nginx:latest` });
    await pushArchive({ archive: await makeImage("busybox"), reference: `${registry.host}/library/busybox:latest` });
    const mirrors = { "docker.io": `http://${registry.host}` };
    containerd = stack.use(await startContainerd({ mirrors }));
    cri = stack.use(await connectCRI({ endpoint: containerd.endpoint }));
    ours = stack.use(await testStore({ mirrors: { "docker.io": [mirrors["docker.io"]] } }));
  });
  after(() => stack.disposeAsync());

  it("id, names, digests, size and user of nginx", async () => {
    const image = { image: "nginx" };
    const theirs = await cri.images.pullImage({ image });
    const { id } = await ours.store.pull({ reference: "nginx" });
    assert.equal(theirs.imageRef, id);
    const { image: status } = await cri.images.imageStatus({ image });
    const own = await imageService(ours.store).imageStatus({ image: { ...image } as never, verbose: false } as never, {
      signal: new AbortController().signal,
    });
    const shown = (one: typeof status | typeof own.image) => ({
      id: one?.id,
      repoTags: one?.repoTags,
      repoDigests: one?.repoDigests,
      size: one?.size,
      uid: one?.uid?.value,
      username: one?.username,
    });
    assert.deepEqual(shown(own.image), shown(status));
  });

  const failures: [name: string, reference: () => Promise<string> | string][] = [
    ["an unknown tag", () => `${registry.host}/library/nginx:nope`],
    ["an unknown repository", () => `${registry.host}/none`],
    ["nobody listens", async () => `127.0.0.1:${await freePort()}/x`],
    ["an invalid name", () => "Nginx"],
  ];
  for (const [name, reference] of failures) {
    it(`the error: ${name}`, async () => {
      await sameError(await reference());
    });
  }

  it("the error: a corrupt layer", async () => {
    await using server = await proxyTo(registry, { corrupt: true });
    await sameError(`${server.address}/library/busybox`); // of nginx containerd has the layers by now
  });

  async function sameError(image: string): Promise<void> {
    const errors = await Promise.allSettled([
      cri.images.pullImage({ image: { image } }),
      ours.store.pull({ reference: image }),
    ]);
    const [theirs, own] = errors.map((it) =>
      it.status === "rejected" && it.reason instanceof CRIError ? it.reason : undefined,
    );
    assert.ok(theirs && own);
    // Newer containerds name the repository in this one, as we do.
    assert.equal(own.message.replace(/repository name \(\S+\)/, "repository name"), theirs.message);
    assert.equal(own.code, theirs.code);
  }
});
