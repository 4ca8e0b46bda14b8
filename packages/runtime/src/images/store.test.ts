import assert from "node:assert/strict";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { create, ListImagesRequestSchema } from "@hawser/cri";
import { imageService } from "./service.ts";
import { describeBlob, dockerArchive, inPieces, json, ociArchive, testImage } from "./testing/image.ts";
import { type Intervention, testRegistry } from "./testing/registry.ts";
import { testStore } from "./testing/store.ts";

// Images without layers here: those with layers need root, see conformance/registry.

describe("ImageStore: loading", () => {
  const image = testImage([], { User: "nginx", Env: ["A=b"] });
  const archives: [name: string, archive: Buffer, names: string[]][] = [
    ["an OCI layout", ociArchive(image, "docker.io/library/app:1"), ["docker.io/library/app:1"]],
    ["an OCI layout without a name", ociArchive(image), [image.id]],
    [
      "docker save with two tags",
      dockerArchive(image, ["app:1", "127.0.0.1:5000/x/app:2"]),
      ["docker.io/library/app:1", "127.0.0.1:5000/x/app:2"],
    ],
    ["docker save in gzip", gzipSync(dockerArchive(image, ["app:1"])), ["docker.io/library/app:1"]],
    [
      "an OCI layout in zstd",
      zstdCompressSync(ociArchive(image, "docker.io/library/app:1")),
      ["docker.io/library/app:1"],
    ],
  ];
  for (const [name, archive, names] of archives) {
    it(name, async () => {
      await using fixture = await testStore();
      assert.deepEqual(await fixture.store.load(inPieces(archive)), names);
      const found = fixture.store.status(names[0] ?? "");
      assert.equal(found?.id, image.id);
      assert.equal(found.user, "nginx");
      assert.deepEqual((await fixture.store.config(image.id)).config?.Env, ["A=b"]);
      assert.deepEqual(await readdir(join(fixture.root, "images/tmp")), []);
    });
  }

  const wrong: [name: string, archive: Buffer, message: RegExp][] = [
    [
      "an archive of something else",
      dockerArchive({ ...image, config: json({ hello: 1 }) }, ["a:1"]),
      /does not describe a container image/,
    ],
    ["an empty archive", Buffer.alloc(1024), /holds no image/],
    ["no archive", Buffer.from("hello".repeat(200)), /checksum/],
    ["half an archive", ociArchive(image).subarray(0, 700), /unexpected EOF/],
    [
      "a blob that is not what it says",
      spoil(ociArchive(image), image.config),
      /blob sha256:.* is corrupt: it has digest/,
    ],
    [
      "more layers than the config has",
      dockerArchive({ ...image, layers: [Buffer.alloc(1024)] }, ["a:1"]),
      /mismatched image rootfs/,
    ],
  ];
  for (const [name, archive, message] of wrong) {
    it(`refuses ${name}, and leaves nothing`, async () => {
      await using fixture = await testStore();
      await assert.rejects(fixture.store.load(inPieces(archive)), { message });
      assert.deepEqual(fixture.store.list(), []);
      for (const place of ["tmp", "records"]) assert.deepEqual(await readdir(join(fixture.root, "images", place)), []);
    });
  }

  it("stops when aborted", async () => {
    await using fixture = await testStore();
    const abort = new AbortController();
    const archive = async function* () {
      yield* inPieces(ociArchive(image), 100);
      abort.abort(new Error("enough"));
      yield Buffer.alloc(1);
    };
    await assert.rejects(fixture.store.load(archive(), { signal: abort.signal }), { message: "enough" });
    assert.deepEqual(await readdir(join(fixture.root, "images/tmp")), []);
  });
});

describe("ImageStore: names", () => {
  const [first, second] = [testImage([], { User: "1" }), testImage([], { User: "2" })];

  it("a tag moves to the newer image, and stays there after a restart", async () => {
    await using fixture = await testStore();
    await fixture.store.load(inPieces(dockerArchive(first, ["app:1", "app:2"])));
    await fixture.store.load(inPieces(dockerArchive(second, ["app:1"])));
    for (const store of [fixture.store, await fixture.reopen()]) {
      assert.equal(store.status("app:1")?.id, second.id);
      assert.equal(store.status("app:2")?.id, first.id);
      assert.equal(store.list().length, 2);
    }
  });

  it("names that come at the same time all count, and an image that is removed meanwhile does not come back", async () => {
    await using fixture = await testStore();
    const tags = ["app:1", "app:2", "app:3"];
    await Promise.all(tags.map((tag) => fixture.store.load(inPieces(dockerArchive(first, [tag])))));
    for (const tag of tags) assert.equal(fixture.store.status(tag)?.id, first.id, tag);
    // The second image takes a tag of the first one, whose record is written anew for that.
    await Promise.all([fixture.store.load(inPieces(dockerArchive(second, ["app:1"]))), fixture.store.remove(first.id)]);
    for (const store of [fixture.store, await fixture.reopen()]) {
      assert.deepEqual(
        store.list().map(({ id }) => id),
        [second.id],
      );
    }
  });

  it("an image is found by its id, the beginning of it, and its names", async () => {
    await using fixture = await testStore();
    await fixture.store.load(inPieces(dockerArchive(first, ["app:1"])));
    const hex = first.id.slice("sha256:".length);
    for (const name of [first.id, hex, hex.slice(0, 12), "app:1", "docker.io/library/app:1"]) {
      assert.equal(fixture.store.status(name)?.id, first.id, name);
    }
    for (const name of ["app", "app:2", "zzz", "sha256:00", ""])
      assert.equal(fixture.store.status(name), undefined, name);
  });

  it("the beginning of several ids is refused, and nothing is removed by it", async () => {
    await using fixture = await testStore();
    const digit = first.id.slice("sha256:".length, "sha256:".length + 1);
    let other = second;
    for (let n = 2; !other.id.startsWith(`sha256:${digit}`); n++) other = testImage([], { User: String(n) });
    for (const image of [first, other]) await fixture.store.load(inPieces(dockerArchive(image, [])));
    await assert.rejects(fixture.store.remove(digit), {
      code: 3,
      message: `image id "${digit}" is the beginning of several`,
    });
    assert.equal(fixture.store.list().length, 2);
  });

  it("an image is removed with all its names, and removing it again is fine", async () => {
    await using fixture = await testStore();
    await fixture.store.load(inPieces(dockerArchive(first, ["app:1", "app:2"])));
    await fixture.store.remove("app:2");
    await fixture.store.remove("app:2");
    assert.deepEqual((await fixture.reopen()).list(), []);
  });

  it("corrupt state is set aside, the rest is found", async () => {
    await using fixture = await testStore();
    await fixture.store.load(inPieces(dockerArchive(first, ["app:1"])));
    await fixture.store.load(inPieces(dockerArchive(second, ["app:2"])));
    const hex = first.id.slice("sha256:".length);
    await writeFile(join(fixture.root, "images/records", `${hex}.json`), '{"id":');
    const store = await fixture.reopen();
    assert.deepEqual(
      store.list().map(({ id }) => id),
      [second.id],
    );
    const [aside] = await readdir(join(fixture.root, "images/corrupt"));
    assert.match(aside ?? "", new RegExp(hex));
    assert.equal(await readFile(join(fixture.root, "images/corrupt", aside ?? ""), "utf8"), '{"id":');
  });
});

describe("ImageStore: pulling", () => {
  const image = testImage([], { User: "101:102" });

  it("by tag, through a mirror that is told whose images it stands for", async () => {
    await using registry = await testRegistry();
    registry.add("library/app", "latest", image);
    await using fixture = await testStore({ mirrors: { "docker.io": [`http://${registry.address}`] } });
    assert.deepEqual(await fixture.store.pull({ reference: "app" }), { id: image.id });
    assert.deepEqual(fixture.store.status("app")?.repoDigests, [`docker.io/library/app@${image.manifestDigest}`]);
    assert.equal(registry.requests[0], "HEAD /v2/library/app/manifests/latest?ns=docker.io");
    const { signal } = new AbortController();
    const [shown] =
      (await imageService(fixture.store).listImages(create(ListImagesRequestSchema), { signal })).images ?? [];
    assert.equal(shown?.uid?.value, 101n);
    assert.equal(shown?.size, BigInt(image.config.length + image.manifest.length));
  });

  it("an index leads to this machine's manifest", async () => {
    await using registry = await testRegistry();
    const foreign = {
      mediaType: "x",
      digest: `sha256:${"0".repeat(64)}`,
      size: 1,
      platform: { os: "linux", architecture: "s390x" },
    };
    const own = describeBlob("application/vnd.oci.image.manifest.v1+json", image.manifest);
    const nested = { schemaVersion: 2, manifests: [foreign, { ...own }] };
    registry.add("app", "part", image);
    registry.addManifest("app", "1", json(nested), "application/vnd.oci.image.index.v1+json");
    await using fixture = await testStore();
    const { id } = await fixture.store.pull({ reference: `${registry.address}/app:1` });
    assert.equal(id, image.id);
  });

  it("no manifest for this machine is an error", async () => {
    await using registry = await testRegistry();
    const foreign = {
      mediaType: "x",
      digest: `sha256:${"0".repeat(64)}`,
      size: 1,
      platform: { os: "linux", architecture: "s390x" },
    };
    registry.addManifest("app", "1", json({ manifests: [foreign] }), "application/vnd.oci.image.index.v1+json");
    await using fixture = await testStore();
    await assert.rejects(fixture.store.pull({ reference: `${registry.address}/app:1` }), {
      message: /no match for platform in manifest: not found$/,
    });
  });

  it("a mirror without the image leads to the next, and the last word is the one that got furthest", async () => {
    await using empty = await testRegistry();
    await using full = await testRegistry();
    full.add("library/app", "latest", image);
    await using fixture = await testStore({
      mirrors: { "docker.io": [empty.address, full.address], "r.invalid": [empty.address] },
    });
    assert.deepEqual(await fixture.store.pull({ reference: "app" }), { id: image.id });
    await assert.rejects(fixture.store.pull({ reference: "r.invalid/app" }), {
      code: 5,
      message:
        'failed to pull and unpack image "r.invalid/app:latest": failed to resolve reference "r.invalid/app:latest": r.invalid/app:latest: not found',
    });
  });

  it("credentials of the call are for the registry, not for its mirrors", async () => {
    const seen: (string | undefined)[] = [];
    const wants: Intervention = (request, response) => {
      seen.push(request.headers.authorization);
      if (request.headers.authorization) return false;
      response.writeHead(401, { "WWW-Authenticate": "Basic" }).end();
      return true;
    };
    await using mirror = await testRegistry(wants);
    await using own = await testRegistry(wants);
    own.add("app", "1", image);
    await using fixture = await testStore({ mirrors: { [own.address]: [mirror.address] } });
    await fixture.store.pull({ reference: `${own.address}/app:1`, auth: { username: "u", password: "p" } });
    assert.deepEqual(seen.slice(0, 2), [undefined, undefined]);
    assert.ok(seen.includes(`Basic ${Buffer.from("u:p").toString("base64")}`));
    assert.ok(mirror.requests.length >= 1);
  });

  it("goes on where a broken download broke", async () => {
    const big = testImage([], { Labels: { text: "x".repeat(200_000) } });
    let cuts = 0;
    await using registry = await testRegistry((request, response) => {
      if (!request.url?.includes("/blobs/") || cuts++ > 0) return false;
      response.writeHead(200, { "Content-Length": big.config.length });
      response.write(big.config.subarray(0, 100_000), () => response.destroy());
      return true;
    });
    registry.add("app", "1", big);
    await using fixture = await testStore();
    assert.deepEqual(await fixture.store.pull({ reference: `${registry.address}/app:1` }), { id: big.id });
    assert.equal(cuts, 2);
  });

  const spoiled: [name: string, spoil: (bytes: Buffer) => Buffer, code: number, message: RegExp][] = [
    [
      "other bytes",
      (bytes) => Buffer.from(bytes).fill("x", 5, 6),
      9,
      /unexpected commit digest sha256:.*, expected sha256:.*: failed precondition$/,
    ],
    ["more bytes", (bytes) => Buffer.concat([bytes, Buffer.from("x")]), 9, /unexpected commit size/],
  ];
  for (const [name, spoil, code, message] of spoiled) {
    it(`a config with ${name} is refused, and nothing is left`, async () => {
      await using registry = await testRegistry();
      registry.add("app", "1", image);
      registry.blobs.set(image.id, spoil(image.config));
      await using fixture = await testStore();
      await assert.rejects(fixture.store.pull({ reference: `${registry.address}/app:1` }), { code, message });
      for (const place of ["tmp", "records"]) assert.deepEqual(await readdir(join(fixture.root, "images", place)), []);
    });
  }

  it("a manifest that is not what the tag's digest said is refused", async () => {
    await using registry = await testRegistry((request, response) => {
      if (request.method !== "HEAD") return false;
      response.writeHead(200, { "Docker-Content-Digest": `sha256:${"1".repeat(64)}` }).end();
      return true;
    });
    registry.add("app", "1", image);
    registry.addManifest(
      "app",
      `sha256:${"1".repeat(64)}`,
      image.manifest,
      "application/vnd.oci.image.manifest.v1+json",
    );
    await using fixture = await testStore();
    await assert.rejects(fixture.store.pull({ reference: `${registry.address}/app:1` }), {
      code: 9,
      message: /failed commit on ref "manifest-sha256:1+": unexpected commit digest/,
    });
  });

  it("an invalid name is refused before anything is asked", async () => {
    await using fixture = await testStore();
    await assert.rejects(fixture.store.pull({ reference: "Nginx" }), {
      code: 2, // as containerd's
      message:
        'failed to parse image reference "Nginx": invalid reference format: repository name (library/Nginx) must be lowercase',
    });
  });

  it("an aborted pull ends with the signal's reason", async () => {
    const abort = new AbortController();
    await using registry = await testRegistry(() => {
      abort.abort(new Error("enough"));
      return true;
    });
    await using fixture = await testStore();
    await assert.rejects(fixture.store.pull({ reference: `${registry.address}/app:1`, signal: abort.signal }), {
      message: "enough",
    });
  });
});

/** The archive with one bit of a part of it changed. */
function spoil(archive: Buffer, part: Buffer): Buffer {
  const at = archive.indexOf(part) + 20;
  archive[at] = (archive[at] ?? 0) ^ 1;
  return archive;
}
