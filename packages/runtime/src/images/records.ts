import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { Code, CRIError } from "@hawser/cri";
import type { Logger } from "@hawser/trace";
import { KeyedLock } from "../store/lock.ts";
import { type OCIImageConfig, parseConfig } from "./config.ts";
import { digestOf, hexOf } from "./digest.ts";
import { readWholeJSON, setAside, syncDirectory, writeFileDurably } from "./disk.ts";
import { formatReference, isSHA256, parseReference } from "./reference.ts";

/** An image as we have it. */
export interface Image {
  /** The digest of its config: `sha256:…`. */
  id: string;
  /** Full names with tags: `docker.io/library/nginx:latest`. */
  repoTags: string[];
  /** Full names with the digest of the manifest or index they were pulled by. */
  repoDigests: string[];
  /** Bytes of manifest, config and layers as they were transferred. */
  size: number;
  /** The config's User: `nginx`, `101`, `101:101`, or empty. */
  user: string;
  /** Not to be removed by the kubelet's image collection. */
  pinned: boolean;
  chainIDs: string[];
  /** When it got its newest name, milliseconds since the epoch. */
  updatedAt: number;
}

type NewNames = Pick<Image, "repoTags" | "repoDigests" | "pinned" | "updatedAt">;

export interface ImageRecordsOptions {
  /** `<directory>/<hex>.json` describes an image, `<directory>/<hex>.config` is its config, byte for byte. */
  directory: string;
  aside: string;
  log: Logger;
}

/** The images we have, on disk and in memory. A name belongs to one image at a time. */
export class ImageRecords {
  readonly #options: ImageRecordsOptions;
  readonly #images = new Map<string, Image>();
  /** One change at a time: each begins with what the one before has left, and a tag concerns two images. */
  readonly #changes = new KeyedLock();

  constructor(options: ImageRecordsOptions) {
    this.#options = options;
  }

  /** Finds the images of former runs. Those that are corrupt, or whose layers are gone by `isWhole`, are set aside. */
  async load(isWhole: (image: Image) => boolean): Promise<void> {
    const { directory } = this.#options;
    await mkdir(directory, { recursive: true, mode: 0o700 });
    for (const name of await readdir(directory)) {
      const path = join(directory, name);
      if (name.endsWith(".tmp")) await rm(path);
      if (!name.endsWith(".json")) continue;
      try {
        const image = parseImage(await readWholeJSON(path));
        if (!isWhole(image)) throw new Error("a layer of the image is missing");
        await this.config(image.id);
        this.#images.set(image.id, image);
      } catch (error) {
        await setAside(this.#options, path, error);
      }
    }
    this.#settleNames();
    for (const name of await readdir(directory)) {
      // A crash while an image was added, or removed, leaves a config that nobody has.
      if (name.endsWith(".config") && !this.#images.has(`sha256:${name.slice(0, -".config".length)}`)) {
        await rm(join(directory, name));
      }
    }
  }

  all(): Image[] {
    return [...this.#images.values()];
  }

  /**
   * Finds an image by its name, its id, or the beginning of its id where no other begins so.
   * A name wins over an id, as in containerd. Undefined too for what is no valid name. Throws CRIError InvalidArgument for the
   * beginning of several ids.
   */
  find(reference: string): Image | undefined {
    const exact = this.#images.get(reference) ?? this.#images.get(`sha256:${reference}`);
    if (exact) return exact;
    const named = this.findNamed(reference);
    if (named) return named;
    const hex = reference.replace(/^sha256:/, "");
    if (!/^[0-9a-f]{1,64}$/.test(hex)) return undefined;
    const [first, ...others] = this.all().filter(({ id }) => hexOf(id).startsWith(hex));
    if (others.length === 0) return first;
    throw new CRIError(Code.InvalidArgument, `image id "${reference}" is the beginning of several`);
  }

  findNamed(reference: string): Image | undefined {
    let name: string;
    try {
      name = formatReference(parseReference(reference));
    } catch {
      return undefined;
    }
    return this.all().find((image) => image.repoTags.includes(name) || image.repoDigests.includes(name));
  }

  /** An image that came by this manifest or index, under whatever name. */
  findByDigest(digest: string): Image | undefined {
    return this.all().find((image) => image.repoDigests.some((name) => name.endsWith(`@${digest}`)));
  }

  /** Adds an image, or names to one that is there; takes the tags from other images. Durable when it resolves. */
  async add(image: Image, config: Uint8Array): Promise<Image> {
    return await this.#changes.run("", async () => {
      if (this.#images.has(image.id)) return await this.#name(image.id, image);
      await writeFileDurably(this.#path(image.id, "config"), config);
      await this.#write(image);
      await this.#takeTags(image);
      return image;
    });
  }

  /** Gives names to an image that is there; takes the tags from other images. Durable when it resolves. */
  async name(id: string, names: NewNames): Promise<Image> {
    return await this.#changes.run("", () => this.#name(id, names));
  }

  async #name(id: string, { repoTags, repoDigests, pinned, updatedAt }: NewNames): Promise<Image> {
    const known = this.#images.get(id);
    if (!known) throw new Error(`image ${id} is not there`);
    const image: Image = {
      ...known,
      repoTags: union(known.repoTags, repoTags),
      repoDigests: union(known.repoDigests, repoDigests),
      pinned: known.pinned || pinned,
      updatedAt,
    };
    await this.#write(image);
    await this.#takeTags(image);
    return image;
  }

  /** Forgets an image. Its layers are another's business. */
  async remove(id: string): Promise<void> {
    await this.#changes.run("", async () => {
      if (!this.#images.delete(id)) return;
      await rm(this.#path(id, "json"), { force: true });
      await rm(this.#path(id, "config"), { force: true });
      await syncDirectory(this.#options.directory);
    });
  }

  /** The image's config. Throws when it is not there, or not what its digest says. */
  async config(id: string): Promise<OCIImageConfig> {
    const bytes = await readFile(this.#path(id, "config"));
    if (digestOf(bytes) !== id) throw new Error(`config of image ${id} is corrupt`);
    return parseConfig(bytes);
  }

  async #takeTags({ id, repoTags }: Image): Promise<void> {
    for (const other of this.all()) {
      if (other.id === id || !other.repoTags.some((tag) => repoTags.includes(tag))) continue;
      await this.#write({ ...other, repoTags: other.repoTags.filter((tag) => !repoTags.includes(tag)) });
    }
  }

  async #write(image: Image): Promise<void> {
    await writeFileDurably(this.#path(image.id, "json"), JSON.stringify(image));
    this.#images.set(image.id, image);
  }

  #path(id: string, kind: "json" | "config"): string {
    return join(this.#options.directory, `${hexOf(id)}.${kind}`);
  }

  /** After a crash between two writes a tag may stand in two images: the newer has it. */
  #settleNames(): void {
    const taken = new Set<string>();
    for (const image of this.all().sort((a, b) => b.updatedAt - a.updatedAt)) {
      image.repoTags = image.repoTags.filter((tag) => !taken.has(tag));
      for (const tag of image.repoTags) taken.add(tag);
    }
  }
}

function union(a: readonly string[], b: readonly string[]): string[] {
  return [...new Set([...a, ...b])];
}

function parseImage(value: unknown): Image {
  const image = (value ?? {}) as Partial<Image>; // checked here
  const lists = [image.repoTags, image.repoDigests, image.chainIDs];
  if (typeof image.id !== "string" || !isSHA256(image.id) || !lists.every(isStrings)) {
    throw new Error("image record is incomplete");
  }
  return {
    id: image.id,
    repoTags: image.repoTags ?? [],
    repoDigests: image.repoDigests ?? [],
    chainIDs: image.chainIDs ?? [],
    size: Number(image.size ?? 0),
    user: String(image.user ?? ""),
    pinned: image.pinned === true,
    updatedAt: Number(image.updatedAt ?? 0),
  };
}

function isStrings(value: unknown): boolean {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}
