import { chmod, lchown, lstat, mkdir, readdir, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { removeTree } from "@hawser/files";
import type { Logger } from "@hawser/trace";
import { type IDMappings, onNode } from "../native/idmap.ts";
import { unmountAll } from "../native/mount.ts";
import type { OCIImageConfig } from "./config.ts";
import { readWholeJSON, writeFileDurably } from "./disk.ts";
import { mountMappedOverlay, releaseMapped } from "./mapped-mounts.ts";
import { isMounted, mountOverlay } from "./overlay.ts";

/** What a container's root file system is made of; it stays true when the image's record is gone. */
export interface RootfsRecord {
  imageId: string;
  chainIDs: string[];
  config: OCIImageConfig;
  /** The container's own users: whose files the image's are. Absent for the node's. */
  owners?: IDMappings | undefined;
}

/** A user namespace for a root file system. */
export interface RootfsUsers {
  mappings: IDMappings;
  /** A file the namespace is pinned to. */
  file: string;
}

export interface RootfsOptions {
  /** `<directory>/<container>/{rootfs.json,rootfs,upper,work,lower,volumes}`; other files there are somebody else's. */
  directory: string;
  log: Logger;
  /** The layers' roots, topmost first. Throws when one is not there. */
  lowers(chainIDs: readonly string[]): string[];
}

/** The containers' root file systems: an overlay each, whose description outlives us. */
export class Rootfs {
  readonly #options: RootfsOptions;
  readonly #records = new Map<string, RootfsRecord>();
  readonly #unreadable = new Set<string>();

  constructor(options: RootfsOptions) {
    this.#options = options;
  }

  /** Finds those of former runs. */
  async load(): Promise<void> {
    await mkdir(this.#options.directory, { recursive: true, mode: 0o711 });
    for (const id of await readdir(this.#options.directory)) {
      const path = this.#path(id, "rootfs.json");
      try {
        const value = await readWholeJSON(path);
        if (value !== undefined) this.#records.set(id, parseRecord(value));
      } catch (error) {
        this.#unreadable.add(id);
        this.#options.log.error(
          "cannot read a container's root file system record; no layer is removed until it is released",
          {
            path,
            error,
          },
        );
      }
    }
  }

  /** Whether `chainIDs` tells all: not while a container's record cannot be read. */
  get complete(): boolean {
    return this.#unreadable.size === 0;
  }

  /** The layers that containers use. */
  chainIDs(): string[] {
    return [...this.#records.values()].flatMap((record) => record.chainIDs);
  }

  get(containerId: string): RootfsRecord | undefined {
    return this.#records.get(containerId);
  }

  /**
   * Mounts a container's root file system; if it is mounted already, all is well. After a reboot, or in another mount
   * namespace, it is mounted again with what the container had written.
   */
  async prepare(
    containerId: string,
    wanted: RootfsRecord,
    users?: RootfsUsers,
  ): Promise<{ rootfs: string; config: OCIImageConfig }> {
    const known = this.#records.get(containerId);
    const record: RootfsRecord = users ? { ...wanted, owners: users.mappings } : wanted;
    if (known && known.imageId !== record.imageId) {
      throw new Error(`root file system of container "${containerId}" is made of image ${known.imageId} already`);
    }
    const { config, chainIDs } = known ?? record;
    const [rootfs, upper, work] = ["rootfs", "upper", "work"].map((name) => this.#path(containerId, name));
    if (!rootfs || !upper || !work) throw new Error("unreachable: three paths");
    if (known && (await isMounted(rootfs))) return { rootfs, config };
    if (known?.owners && !users) throw new Error(`the user namespace of container "${containerId}" is not known here`);

    const lowers = this.#options.lowers(chainIDs);
    try {
      await mkdir(join(rootfs, ".."), { recursive: true, mode: 0o711 });
      // First the description, so that whatever follows is found after a crash.
      if (!known) await writeFileDurably(this.#path(containerId, "rootfs.json"), JSON.stringify(record));
      this.#records.set(containerId, record);
      this.#unreadable.delete(containerId);
      for (const path of [rootfs, work]) await mkdir(path, { recursive: true, mode: 0o711 });
      await makeUpper(upper, lowers[0], users?.mappings);
      if (users) {
        const directory = this.#path(containerId, "lower");
        await mountMappedOverlay({ lowers, upper, work, target: rootfs }, { directory, usersFile: users.file });
      } else await mountOverlay({ lowers, upper, work, target: rootfs });
    } catch (error) {
      if (!known) await this.release(containerId);
      throw error;
    }
    return { rootfs, config };
  }

  /** Unmounts it and removes what the container had written. Fine when there is none. */
  async release(containerId: string): Promise<void> {
    const rootfs = this.#path(containerId, "rootfs");
    await unmountAll(rootfs);
    await rmdir(rootfs).catch(ignoreMissing); // never recursive: were it mounted still, that would empty the layers' view
    for (const name of ["lower", "volumes"]) await releaseMapped(this.#path(containerId, name));
    for (const name of ["upper", "work", "image-volumes", "rootfs.json"]) {
      await removeTree(this.#path(containerId, name));
    }
    this.#records.delete(containerId);
    this.#unreadable.delete(containerId);
    await rmdir(this.#path(containerId, ".")).catch(ignoreMissing); // others may keep files there
  }

  #path(containerId: string, name: string): string {
    if (!/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(containerId)) throw new Error(`invalid container id "${containerId}"`);
    return join(this.#options.directory, containerId, name);
  }
}

/** The upper directory is the merged root's face: owner and mode are the top layer's, as the container sees them. */
async function makeUpper(upper: string, top: string | undefined, owners?: IDMappings): Promise<void> {
  const model = top === undefined ? undefined : await lstat(top);
  await mkdir(upper, { recursive: true, mode: 0o755 });
  if (!model) return;
  const { uid, gid } = model;
  await lchown(upper, owners ? onNode(owners.uids, uid) : uid, owners ? onNode(owners.gids, gid) : gid);
  await chmod(upper, model.mode & 0o7777);
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (!["ENOENT", "ENOTEMPTY", "EEXIST"].includes(error.code ?? "")) throw error;
}

function parseRecord(value: unknown): RootfsRecord {
  const record = (value ?? {}) as Partial<RootfsRecord>; // checked here
  if (typeof record.imageId !== "string" || !Array.isArray(record.chainIDs) || typeof record.config !== "object") {
    throw new Error("rootfs.json is incomplete");
  }
  const { imageId, config, owners } = record;
  return { imageId, chainIDs: record.chainIDs.map(String), config, ...(owners && { owners }) };
}
