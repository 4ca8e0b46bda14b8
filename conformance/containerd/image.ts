// An image made of this machine's own shell and tools, so that no registry is needed.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFile, mkdir, readFile, realpath, stat, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Name of the image that `buildImageArchive` makes. */
export const testImage = "docker.io/hawser/test:latest";

const tools = [
  "sleep",
  "cat",
  "echo",
  "ls",
  "true",
  "false",
  "env",
  "id",
  "stty",
  "tty",
  "printf",
  "touch",
  "head",
  "wc",
  "seq",
  "mkdir",
  "rm",
  "readlink",
  "hostname",
  "kill",
  "ps",
  "socat",
  "date",
];

/** Writes an OCI archive for `ctr images import` into `folder`, and returns its path. */
export async function buildImageArchive(folder: string): Promise<string> {
  const root = path.join(folder, "rootfs");
  for (const name of ["bin", "etc", "tmp", "proc", "sys", "dev", "run", "data"])
    await mkdir(path.join(root, name), { recursive: true });
  await symlink("bin", path.join(root, "sbin"));
  await writeFile(path.join(root, "etc/passwd"), "root:x:0:0:root:/:/bin/sh\nweb:x:1000:1000::/:/bin/sh\n");
  await writeFile(path.join(root, "etc/group"), "root:x:0:\nweb:x:1000:\n");
  await addProgram(root, "/bin/dash", "/bin/sh");
  for (const tool of tools) {
    const found = await firstExisting([`/bin/${tool}`, `/usr/bin/${tool}`]);
    if (found) await addProgram(root, found, `/bin/${tool}`);
  }

  const layout = path.join(folder, "layout");
  const blobs = path.join(layout, "blobs/sha256");
  await mkdir(blobs, { recursive: true });
  const layerFile = path.join(folder, "layer.tar");
  await run("tar", ["--numeric-owner", "--owner=0", "--group=0", "-cf", layerFile, "-C", root, "."]);
  const layer = await addBlob(blobs, await readFile(layerFile), "application/vnd.oci.image.layer.v1.tar");
  const config = await addBlob(
    blobs,
    Buffer.from(
      JSON.stringify({
        architecture: process.arch === "arm64" ? "arm64" : "amd64",
        os: "linux",
        // It is the pause image too, so it must stay up by itself.
        config: { Env: ["PATH=/bin"], Cmd: ["/bin/sleep", "infinity"], WorkingDir: "/data" },
        rootfs: { type: "layers", diff_ids: [layer.digest] },
      }),
    ),
    "application/vnd.oci.image.config.v1+json",
  );
  const manifestBody = {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config,
    layers: [layer],
  };
  const manifest = await addBlob(blobs, Buffer.from(JSON.stringify(manifestBody)), manifestBody.mediaType);
  const annotations = { "io.containerd.image.name": testImage, "org.opencontainers.image.ref.name": "latest" };
  await writeFile(
    path.join(layout, "index.json"),
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }),
  );
  await writeFile(path.join(layout, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  const archive = path.join(folder, "image.tar");
  await run("tar", ["-cf", archive, "-C", layout, "."]);
  return archive;
}

async function addProgram(root: string, program: string, target: string) {
  await mkdir(path.join(root, path.dirname(target)), { recursive: true });
  await copyFile(await realpath(program), path.join(root, target));
  const { stdout } = await run("ldd", [program]).catch(() => ({ stdout: "" }));
  for (const [library] of stdout.matchAll(/\/[^\s)]+/g)) {
    const place = path.join(root, library);
    if (await exists(place)) continue;
    await mkdir(path.dirname(place), { recursive: true });
    await copyFile(await realpath(library), place);
  }
}

async function addBlob(blobs: string, content: Buffer, mediaType: string) {
  const hex = createHash("sha256").update(content).digest("hex");
  await writeFile(path.join(blobs, hex), content);
  return { mediaType, digest: `sha256:${hex}`, size: content.byteLength };
}

async function firstExisting(paths: string[]): Promise<string | undefined> {
  for (const candidate of paths) if (await exists(candidate)) return candidate;
  return undefined;
}

function exists(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    () => false,
  );
}
