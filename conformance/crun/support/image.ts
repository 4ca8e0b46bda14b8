import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { chmod, copyFile, mkdir, mkdtemp, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";

const execute = promisify(execFile);

/** What the tests' image has: this machine's own programs, with their libraries. */
const programs = [
  ..."bash sh true false sleep cat echo ls ps id head tail dd wc tee stty kill env readlink mount umount touch mkdir".split(
    " ",
  ),
  ..."chmod grep seq tr yes printf hostname nproc sort stat pwd date nohup setsid mkfifo timeout rm tty sha256sum".split(
    " ",
  ),
];

export interface ImageOptions {
  name: string;
  user?: string;
  env?: string[];
  cmd?: string[];
  entrypoint?: string[];
  workingDir?: string;
  stopSignal?: string;
  /** Further files by their path in the image. */
  files?: Record<string, string>;
}

/** Makes a docker archive of one layer: programs of this machine, passwd and group. */
export async function makeArchive(options: ImageOptions): Promise<Buffer> {
  const directory = await mkdtemp(path.join(tmpdir(), "hawser-image-"));
  try {
    const root = path.join(directory, "root");
    await fillRoot(root, options.files ?? {});
    const layer = path.join(directory, "layer.tar");
    await execute("tar", ["--numeric-owner", "--owner=0", "--group=0", "-C", root, "-cf", layer, "."]);
    const diffId = createHash("sha256")
      .update(await readFile(layer))
      .digest("hex");
    const config = {
      architecture: process.arch === "arm64" ? "arm64" : "amd64",
      os: "linux",
      config: {
        User: options.user ?? "",
        Env: options.env ?? ["PATH=/usr/bin:/bin", "FROM_IMAGE=yes"],
        Cmd: options.cmd ?? ["sleep", "100000"],
        ...(options.entrypoint && { Entrypoint: options.entrypoint }),
        WorkingDir: options.workingDir ?? "",
        ...(options.stopSignal && { StopSignal: options.stopSignal }),
      },
      rootfs: { type: "layers", diff_ids: [`sha256:${diffId}`] },
    };
    await writeFile(path.join(directory, "config.json"), JSON.stringify(config));
    const manifest = [{ Config: "config.json", RepoTags: [options.name], Layers: ["layer.tar"] }];
    await writeFile(path.join(directory, "manifest.json"), JSON.stringify(manifest));
    const archive = path.join(directory, "image.tar");
    await execute("tar", ["-C", directory, "-cf", archive, "manifest.json", "config.json", "layer.tar"]);
    return await readFile(archive);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function fillRoot(root: string, files: Record<string, string>): Promise<void> {
  for (const name of ["proc", "sys", "dev", "tmp", "root", "etc", "bin", "usr/bin", "home/web"]) {
    await mkdir(path.join(root, name), { recursive: true });
  }
  for (const name of ["tmp", "home/web"]) await chmod(path.join(root, name), 0o1777);
  for (const name of programs) await copyProgram(root, name);
  const fixed = {
    "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1000::/home/web:/bin/sh\n",
    "/etc/group": "root:x:0:\nweb:x:1000:\nextra:x:2000:web\n",
    ...files,
  };
  for (const [name, text] of Object.entries(fixed)) {
    await mkdir(path.dirname(path.join(root, name)), { recursive: true });
    await writeFile(path.join(root, name), text);
  }
}

async function copyProgram(root: string, name: string): Promise<void> {
  for (const directory of ["/usr/bin", "/bin", "/usr/sbin"]) {
    const file = await realpath(path.join(directory, name)).catch(() => undefined);
    if (!file) continue;
    await copyFile(file, path.join(root, "bin", name));
    const { stdout } = await execute("ldd", [file]).catch(() => ({ stdout: "" }));
    for (const library of stdout.match(/\/[^ )\n]+/g) ?? []) {
      await mkdir(path.dirname(path.join(root, library)), { recursive: true });
      await copyFile(library, path.join(root, library));
    }
    return;
  }
  throw new Error(`${name} is not on this machine`);
}
