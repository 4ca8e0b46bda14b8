// Our image store against Debian's genuine docker-registry, with the nginx image the project makes. Needs root (overlayfs).
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmod, lstat, readdir, readFile, readlink, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { tarArchive, tarEntry } from "@hawser/tar";
import { freePort, type Registry, startRegistry } from "@hawser/testing";
import { inPieces, ociArchive, testImage } from "../../packages/runtime/src/images/testing/image.ts";
import { silentServer } from "../../packages/runtime/src/images/testing/server.ts";
import { type TestStore, testStore } from "../../packages/runtime/src/images/testing/store.ts";
import { makeImage } from "../../scripts/make-nginx-image.ts";
import { pushArchive } from "../../scripts/push-image.ts";
import { proxyTo } from "./proxy.ts";

const run = promisify(execFile);

describe("images from a genuine docker-registry", () => {
  let registry: Registry;
  let nginx: string;
  before(async () => {
    nginx = await makeImage("nginx");
    registry = await startRegistry();
    await pushArchive({ archive: nginx, reference: `${registry.host}/library/nginx:latest` });
  });
  after(() => registry?.[Symbol.asyncDispose]());

  it("pulls `nginx` through a mirror, mounts it, and nginx runs in it", async () => {
    await using fixture = await testStore({ mirrors: { "docker.io": [registry.host] } }, ["c1"]);
    const { store } = fixture;
    const { id } = await store.pull({ reference: "nginx" });
    const image = store.status("nginx");
    assert.equal(image?.id, id);
    assert.deepEqual(image.repoTags, ["docker.io/library/nginx:latest"]);
    assert.match(image.repoDigests[0] ?? "", /^docker\.io\/library\/nginx@sha256:[0-9a-f]{64}$/);

    const { rootfs, config } = await store.prepareRootfs({ imageId: id, containerId: "c1" });
    assert.deepEqual(config.config?.Cmd, ["nginx", "-g", "daemon off;"]);
    assert.equal(config.config?.StopSignal, "SIGQUIT");
    assert.deepEqual(Object.keys(config.config?.ExposedPorts ?? {}), ["80/tcp"]);
    assert.equal((await stat(join(rootfs, "tmp"))).mode & 0o7777, 0o1777);
    assert.equal((await stat(join(rootfs, "var/lib/nginx"))).uid, 33);
    assert.equal(await readlink(join(rootfs, "bin")), "usr/bin");
    const inside = (script: string) => run("chroot", [rootfs, "/bin/sh", "-c", script]);
    const { stdout } = await inside(
      "id -u; test -x /usr/sbin/nginx && sleep 0 && ls / | tr '\\n' ' ' && echo a | gzip | gzip -d",
    );
    assert.match(stdout, /^0\nbin .*usr var a\n$/);
    await inside("tar -cf /tmp/x.tar etc/passwd && tar -tf /tmp/x.tar && bash -c true && grep -q root etc/passwd");
    await inside("for it in tar ls cat bash grep sed gzip id; do $it --version >/tmp/version || exit 1; done");
    const version = await inside("nginx -V");
    assert.match(version.stderr, /nginx\/1\./);
  });

  it("pulls by digest, and a second pull of a known image transfers nothing", async () => {
    await using fixture = await testStore({ mirrors: { "docker.io": [registry.host] } });
    const first = await fixture.store.pull({ reference: "nginx" });
    const digest = fixture.store.status("nginx")?.repoDigests[0]?.split("@")[1] ?? "";
    const before = registry.log().length;
    const again = await fixture.store.pull({ reference: `nginx@${digest}` });
    assert.equal(again.id, first.id);
    assert.doesNotMatch(registry.log().slice(before), /GET \/v2/);
  });

  it("two pulls at once share the extracted layers", async () => {
    await using fixture = await testStore();
    const names = [`${registry.host}/library/nginx`, `${registry.host}/library/nginx:latest`];
    const pulled = await Promise.all(names.map((reference) => fixture.store.pull({ reference })));
    assert.equal(pulled[0]?.id, pulled[1]?.id);
    assert.equal((await readdir(join(fixture.root, "images/layers"))).length, 1);
    assert.deepEqual(await readdir(join(fixture.root, "images/tmp")), []);
  });

  it("a pull that is aborted half-way leaves nothing", async () => {
    await using fixture = await testStore();
    const abort = new AbortController();
    await using server = await proxyTo(registry, {
      on: (url) => url.includes("/blobs/") && abort.abort(new Error("enough")),
    });
    const pull = fixture.store.pull({ reference: `${server.address}/library/nginx`, signal: abort.signal });
    await assert.rejects(pull, { message: "enough" });
    await isEmpty(fixture);
  });

  it("takes an image pushed in pieces", async () => {
    const reference = `${registry.host}/pieces/nginx:v1`;
    const digest = await pushArchive({ archive: nginx, reference, chunkSize: 4 << 20 });
    await using fixture = await testStore();
    await fixture.store.pull({ reference });
    assert.deepEqual(fixture.store.status(reference)?.repoDigests, [`${registry.host}/pieces/nginx@${digest}`]);
  });

  it("keeps modes, owners, xattrs, links and devices, and obeys whiteouts", async () => {
    const reference = `${registry.host}/test/layers:1`;
    await pushArchive({ archive: inPieces(layeredImage()), reference });
    await using fixture = await testStore({}, ["c1"]);
    await fixture.store.pull({ reference });
    const { rootfs } = await fixture.store.prepareRootfs({ imageId: reference, containerId: "c1" });
    const at = (path: string) => join(rootfs, path);
    assert.deepEqual((await readdir(at("etc"))).sort(), ["added", "kept", "setuid"]);
    assert.deepEqual(await readdir(at("opaque")), ["new"]);
    const setuid = await stat(at("etc/setuid"));
    assert.deepEqual([setuid.mode & 0o7777, setuid.uid, setuid.gid], [0o4755, 1000, 33]);
    assert.equal((await stat(at("etc"))).mode & 0o7777, 0o750, "an implied directory is as it is below");
    assert.equal((await stat(at("etc"))).uid, 5);
    assert.equal((await stat(at("hard"))).ino, (await stat(at("etc/kept"))).ino);
    assert.equal(await readlink(at("absolute")), "/etc/kept");
    const device = await lstat(at("null"));
    assert.ok(device.isCharacterDevice());
    assert.equal(device.rdev, 0x103);
    assert.equal(await xattr(at("etc/setuid"), "user.hawser"), "yes");
    assert.equal(await readFile(at("usr/lib/through"), "utf8"), "through a link");

    // What is written goes to the container, and with it.
    await chmod(at("etc/kept"), 0o600);
    await writeFile(at("etc/kept"), "changed");
    await fixture.store.releaseRootfs("c1");
    const again = await fixture.store.prepareRootfs({ imageId: reference, containerId: "c1" });
    assert.equal(await readFile(join(again.rootfs, "etc/kept"), "utf8"), "kept");
  });

  describe("what goes wrong ends in a clear error within seconds, and leaves nothing", () => {
    const cases: { name: string; reference: () => string; code: number; message: RegExp }[] = [
      {
        name: "an unknown tag",
        reference: () => "nginx:nope",
        code: 5,
        message:
          /^failed to pull and unpack image "docker\.io\/library\/nginx:nope": failed to resolve reference "docker\.io\/library\/nginx:nope": docker\.io\/library\/nginx:nope: not found$/,
      },
      {
        name: "an unknown repository",
        reference: () => `${registry.host}/none`,
        code: 5,
        message: /none:latest: not found$/,
      },
    ];
    for (const { name, reference, code, message } of cases) {
      it(name, { timeout: 30_000 }, async () => {
        await fails({ mirrors: { "docker.io": [registry.host] } }, reference(), code, message);
      });
    }

    it("nobody listens", async () => {
      const port = await freePort();
      const message = new RegExp(
        `Head "http://127\\.0\\.0\\.1:${port}/v2/x/manifests/latest": dial tcp 127\\.0\\.0\\.1:${port}: connect: connection refused$`,
      );
      await fails({}, `127.0.0.1:${port}/x`, 2, message);
    });

    it("a registry that says nothing", { timeout: 10_000 }, async () => {
      await using silent = await silentServer();
      const message = /net\/http: timeout awaiting response headers$/;
      await fails({ timeouts: { response: 500 } }, `${silent.address}/x`, 2, message);
    });

    it("a registry that wants credentials nobody gave", async () => {
      await using server = await proxyTo(registry, { wants: 'Basic realm="x"' });
      await fails(
        {},
        `${server.address}/library/nginx`,
        2,
        /pull access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials$/,
      );
    });

    it("a registry that refuses the credentials", async () => {
      await using server = await proxyTo(registry, { wants: 'Basic realm="x"' });
      await using fixture = await testStore();
      await assert.rejects(
        fixture.store.pull({ reference: `${server.address}/library/nginx`, auth: { username: "a", password: "b" } }),
        { message: /unexpected status from HEAD request to http:.*: 401 Unauthorized$/ },
      );
      await isEmpty(fixture);
    });

    it("a corrupt layer", async () => {
      await using server = await proxyTo(registry, { corrupt: true });
      await fails(
        {},
        `${server.address}/library/nginx`,
        9,
        /failed commit on ref "layer-sha256:[0-9a-f]{64}": unexpected commit digest sha256:[0-9a-f]{64}, expected sha256:[0-9a-f]{64}: failed precondition$/,
      );
    });
  });
});

async function fails(
  config: Parameters<typeof testStore>[0],
  reference: string,
  code: number,
  message: RegExp,
): Promise<void> {
  await using fixture = await testStore(config);
  await assert.rejects(fixture.store.pull({ reference }), { name: "CRIError", code, message });
  await isEmpty(fixture);
}

async function isEmpty({ store, root }: TestStore): Promise<void> {
  assert.deepEqual(store.list(), []);
  for (const name of ["tmp", "layers", "records"]) assert.deepEqual(await readdir(join(root, "images", name)), []);
}

function layeredImage(): Buffer {
  const lower = tarArchive([
    tarEntry({ name: "etc/", type: "5", mode: 0o750, uid: 5 }),
    tarEntry({ name: "etc/gone" }, "gone"),
    tarEntry({ name: "etc/kept" }, "kept"),
    tarEntry({ name: "etc/setuid", mode: 0o4755, uid: 1000, gid: 33 }, "x", [["SCHILY.xattr.user.hawser", "yes"]]),
    tarEntry({ name: "hard", type: "1", linkname: "etc/kept" }),
    tarEntry({ name: "absolute", type: "2", linkname: "/etc/kept" }),
    tarEntry({ name: "null", type: "3", mode: 0o666, devmajor: 1, devminor: 3 }),
    tarEntry({ name: "opaque/", type: "5", mode: 0o755 }),
    tarEntry({ name: "opaque/old" }, "old"),
    tarEntry({ name: "lib", type: "2", linkname: "/usr/lib" }),
    tarEntry({ name: "lib/through" }, "through a link"),
  ]);
  const upper = tarArchive([
    tarEntry({ name: "etc/.wh.gone" }),
    tarEntry({ name: "etc/added" }, "added"),
    tarEntry({ name: "opaque/.wh..wh..opq" }),
    tarEntry({ name: "opaque/new" }, "new"),
  ]);
  return ociArchive(testImage([lower, upper]));
}

/** Read by tar, since getfattr is on few machines. */
async function xattr(path: string, name: string): Promise<string | undefined> {
  const { stdout } = await run("tar", [
    "-c",
    "--format=posix",
    "--xattrs",
    "-C",
    join(path, ".."),
    path.replace(/.*\//, ""),
  ]);
  return stdout.match(new RegExp(`SCHILY\\.xattr\\.${name.replace(".", "\\.")}=(.*)\\n`))?.[1];
}
