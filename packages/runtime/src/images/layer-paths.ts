/** How many symbolic links one path may pass through. Source: Linux MAXSYMLINKS is 40; containerd's fs.RootPath takes 255. */
const maxLinks = 255;
/**
 * Longest path, and target of a link, bytes: Linux' PATH_MAX without its NUL. What is remembered of an entry is bounded by it.
 */
const maxPathBytes = 4095;

/** A layer tried to reach outside its own root, or is otherwise not to be extracted. */
export class LayerError extends Error {
  override readonly name = "LayerError";
}

/**
 * Where a layer's entries go. It remembers the layer's symbolic links, and resolves the parents of each later entry
 * through them with the layer's root as `/`, as a chroot would: `lib -> /usr/lib` followed by `lib/x` is `usr/lib/x`,
 * and no link leads out. So tar is only ever given paths whose parents are true directories.
 *
 * Paths are byte strings without a leading slash; the root is "".
 * Source: containerd pkg/archive/tar.go, which scopes each parent by continuity's fs.RootPath.
 */
export class LayerPaths {
  readonly #links = new Map<string, string>();
  readonly #directories = new Set<string>([""]);
  readonly #implied = new Set<string>();
  #describesRoot = false;

  /** Directories that entries lie in but that have no entry of their own (yet), outermost first. */
  get implied(): string[] {
    return [...this.#implied];
  }

  /** Whether the layer's root has an entry of its own. */
  get describesRoot(): boolean {
    return this.#describesRoot;
  }

  /**
   * The place of an entry name. Throws LayerError for a name with "..", or with a NUL.
   * The last component is not followed.
   */
  place(name: string): string {
    const parts = split(name);
    const last = parts.pop();
    if (last === undefined) return "";
    return join(this.#follow(parts), last);
  }

  /**
   * Takes note of an entry at a place. False for a link that is there already, to the same target.
   *
   * Throws LayerError when a link would take the place of a directory, or anything that of a link. No honest layer has
   * that, and tar keeps a directory's owner and mode, and its own stand-ins for links, by inode number to the end: a
   * new file with an old number would get them.
   */
  add(path: string, entry: { type: "directory" | "other" } | { type: "link"; target: string }): boolean {
    const link = this.#links.get(path);
    if (link !== undefined) {
      if (entry.type === "link" && entry.target === link) return false;
      throw new LayerError(`layer has "${path}" twice, as a symbolic link and as something else`);
    }
    this.need(dirname(path));
    if (entry.type === "link") {
      if (this.#directories.has(path)) throw new LayerError(`layer has "${path}" twice, as a directory and as a link`);
      this.#links.set(path, entry.target);
      return true;
    }
    this.#implied.delete(path);
    if (entry.type === "other") {
      this.#directories.delete(path);
      return true;
    }
    this.#directories.add(path);
    if (path === "") this.#describesRoot = true;
    return true;
  }

  /** Takes note of a hard link: a link to a symbolic link is one itself. */
  addHardLink(path: string, target: string): boolean {
    const link = this.#links.get(target);
    return this.add(path, link === undefined ? { type: "other" } : { type: "link", target: link });
  }

  /** A directory must be there, with its parents, described or not. */
  need(path: string): void {
    const parents: string[] = [];
    for (let parent = path; !this.#directories.has(parent); parent = dirname(parent)) parents.push(parent);
    for (const parent of parents.reverse()) {
      this.#directories.add(parent);
      this.#implied.add(parent);
    }
  }

  #follow(parts: string[]): string {
    const todo = [...parts].reverse();
    let at = "";
    let links = 0;
    for (let part = todo.pop(); part !== undefined; part = todo.pop()) {
      if (part === "..") {
        at = dirname(at);
        continue;
      }
      const next = join(at, part);
      const target = this.#links.get(next);
      if (target === undefined) {
        at = next;
        continue;
      }
      if (++links > maxLinks) throw new LayerError(`layer entry passes through too many symbolic links at "${next}"`);
      if (target.startsWith("/")) at = "";
      todo.push(...components(target).reverse());
    }
    return at;
  }
}

/** Throws LayerError for a path, or a link's target, that no file system call takes. As byte strings. */
export function checkLength(...paths: string[]): void {
  const long = paths.find(({ length }) => length > maxPathBytes);
  if (long !== undefined) throw new LayerError(`tar archive has a path of ${long.length} bytes: File name too long`);
}

/** The directory part: "" for what lies in the root, and for the root. */
export function dirname(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}

/** The last component. */
export function basename(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

export function join(parent: string, name: string): string {
  return parent === "" ? name : `${parent}/${name}`;
}

function components(path: string): string[] {
  return path.split("/").filter((part) => part !== "" && part !== ".");
}

function split(name: string): string[] {
  if (name.includes("\0")) throw new LayerError("layer entry has a NUL in its name");
  const parts = components(name);
  if (parts.includes("..")) throw new LayerError(`layer entry "${name}" leads out of the layer`);
  return parts;
}
