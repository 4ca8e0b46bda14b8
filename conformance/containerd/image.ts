// The image of the tests with containerd, which is its pause image too.
import { mkdir, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { imageArchive } from "../../scripts/image-archive.ts";
import { architecture, copyProgram, packRoot } from "../root-of-programs.ts";

/** Name of the image that `buildImageArchive` makes. */
export const testImage = "docker.io/hawser/test:latest";

/** Those that this machine has not are left out. */
const tools = [
  "sh",
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
  "tar",
];

/** Writes an archive for `ctr images import` or `hawser image load` into `folder`, and returns its path. */
export async function buildImageArchive(folder: string): Promise<string> {
  const root = path.join(folder, "rootfs");
  for (const name of ["bin", "etc", "tmp", "proc", "sys", "dev", "run", "data"])
    await mkdir(path.join(root, name), { recursive: true });
  await symlink("bin", path.join(root, "sbin"));
  await writeFile(path.join(root, "etc/passwd"), "root:x:0:0:root:/:/bin/sh\nweb:x:1000:1000::/:/bin/sh\n");
  await writeFile(path.join(root, "etc/group"), "root:x:0:\nweb:x:1000:\n");
  for (const tool of tools) await copyProgram(root, tool);
  // It is the pause image too, so it must stay up by itself.
  const settings = { Env: ["PATH=/bin"], Cmd: ["/bin/sleep", "infinity"], WorkingDir: "/data" };
  const archive = path.join(folder, "image.tar");
  const layer = await packRoot(root);
  await writeFile(archive, await imageArchive({ name: testImage, architecture, settings, layers: [layer] }));
  return archive;
}
