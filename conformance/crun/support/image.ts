import { execFile } from "node:child_process";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { imageArchive } from "../../../scripts/image-archive.ts";
import { architecture, copyProgram, packRoot } from "../../root-of-programs.ts";

/** What the tests' image has: this machine's own programs, with their libraries. */
const programs = [
  ..."bash sh true false sleep cat echo ls ps id head tail dd wc tee stty kill env readlink mount umount touch mkdir".split(
    " ",
  ),
  ..."chmod chown ln grep seq tr yes printf hostname nproc sort stat pwd date nohup setsid mkfifo timeout rm tty sha256sum".split(
    " ",
  ),
];

/** Bytes of an archive in one message. */
const chunkBytes = 256 * 1024;

export interface ImageOptions {
  name: string;
  user?: string;
  env?: string[];
  cmd?: string[];
  entrypoint?: string[];
  workingDir?: string;
  stopSignal?: string;
  volumes?: string[];
  /** Further files by their path in the image. */
  files?: Record<string, string>;
  /** Pipes by their path in the image, in place of what is there. */
  pipes?: string[];
}

/** Makes an archive of one layer: programs of this machine, passwd and group. */
export async function makeArchive(options: ImageOptions): Promise<Buffer> {
  const directory = await mkdtemp(path.join(tmpdir(), "hawser-image-"));
  try {
    const root = path.join(directory, "root");
    await fillRoot(root, options.files ?? {});
    for (const name of options.pipes ?? []) {
      await rm(path.join(root, name), { force: true });
      await promisify(execFile)("mkfifo", [path.join(root, name)]);
    }
    const settings = {
      User: options.user ?? "",
      Env: options.env ?? ["PATH=/usr/bin:/bin", "FROM_IMAGE=yes"],
      Cmd: options.cmd ?? ["sleep", "100000"],
      ...(options.entrypoint && { Entrypoint: options.entrypoint }),
      WorkingDir: options.workingDir ?? "",
      ...(options.volumes && { Volumes: Object.fromEntries(options.volumes.map((place) => [place, {}])) }),
      ...(options.stopSignal && { StopSignal: options.stopSignal }),
    };
    return await imageArchive({ name: options.name, architecture, settings, layers: [await packRoot(root)] });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** An archive as the runtime's Load takes it. */
export async function* inChunks(archive: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < archive.length; at += chunkBytes) yield archive.subarray(at, at + chunkBytes);
}

async function fillRoot(root: string, files: Record<string, string>): Promise<void> {
  for (const name of ["proc", "sys", "dev", "tmp", "root", "etc", "bin", "usr/bin", "home/web"]) {
    await mkdir(path.join(root, name), { recursive: true });
  }
  for (const name of ["tmp", "home/web"]) await chmod(path.join(root, name), 0o1777);
  for (const name of programs) {
    if (!(await copyProgram(root, name))) throw new Error(`${name} is not on this machine`);
  }
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
