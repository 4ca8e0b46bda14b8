import { constants, type Stats } from "node:fs";
import { type FileHandle, mkdir, open, stat } from "node:fs/promises";
import path from "node:path";
import { type VolumeContext, VolumeError, type VolumeRequest } from "./plugin.ts";

const { O_WRONLY, O_CREAT, O_NONBLOCK } = constants;

const checks: Record<string, { what: string; holds: (found: Stats) => boolean }> = {
  Directory: { what: "a directory", holds: (found) => found.isDirectory() },
  DirectoryOrCreate: { what: "a directory", holds: (found) => found.isDirectory() },
  File: { what: "a file", holds: (found) => found.isFile() },
  FileOrCreate: { what: "a file", holds: (found) => found.isFile() },
  Socket: { what: "a socket file", holds: (found) => found.isSocket() },
  CharDevice: { what: "a character device", holds: (found) => found.isCharacterDevice() },
  BlockDevice: { what: "a block device", holds: (found) => found.isBlockDevice() },
};

/**
 * A place on the node, checked or made as its type says.
 *
 * Source: kubernetes pkg/volume/hostpath/host_path.go
 */
export async function hostPath(_context: VolumeContext, { volume }: VolumeRequest): Promise<string> {
  const { path: place = "", type = "" } = volume.hostPath ?? {};
  if (!path.isAbsolute(place) || place.split("/").includes(".."))
    throw new VolumeError(`hostPath "${place}" is not an absolute path without ".."`);
  if (type === "") return place;
  const check = checks[type];
  if (!check) throw new VolumeError(`hostPath type "${type}" is not known`);
  const found = (await statOf(place)) ?? (await make(place, type));
  if (!found || !check.holds(found)) throw new VolumeError(`hostPath type check failed: ${place} is not ${check.what}`);
  return place;
}

async function make(place: string, type: string): Promise<Stats | undefined> {
  if (type === "DirectoryOrCreate") await mkdir(place, { recursive: true, mode: 0o755 });
  else if (type === "FileOrCreate") {
    let file: FileHandle | undefined;
    try {
      file = await open(place, O_WRONLY | O_CREAT | O_NONBLOCK, 0o644); // of a pipe that has just come nobody waits
    } catch (cause) {
      throw new VolumeError(`cannot make ${place}`, { cause });
    } finally {
      await file?.close();
    }
  } else return undefined;
  return statOf(place);
}

async function statOf(place: string): Promise<Stats | undefined> {
  return stat(place).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw new VolumeError(`cannot look at ${place}: ${error.code}`, { cause: error });
  });
}
