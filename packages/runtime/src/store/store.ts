import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import path from "node:path";
import { Code, CRIError } from "@hawser/cri";
import { removeTree } from "@hawser/files";
import type { Logger } from "@hawser/trace";
import { namesIn, recordPath, writeJSON } from "./json-file.ts";
import { KeyedLock } from "./lock.ts";
import type { Nanoseconds } from "./records.ts";

interface Record {
  id: string;
  createdAt?: Nanoseconds;
}

export interface StoreOptions<T> {
  directory: string;
  kind: string;
  nameOf: (record: T) => string;
  /** Is what a file says a record? */
  isWhole: (value: unknown) => value is T;
  log: Logger;
}

/** What an earlier process has left besides records, by id. */
export interface Leavings {
  /** Directories without a record: it ended while it made the object. */
  halfMade: string[];
  /** Records that cannot be understood, and why. */
  corrupt: { id: string; reason: string }[];
}

/**
 * The sandboxes, or the containers, by id: in memory, and one JSON file each.
 *
 * A name (what the CRI's metadata spell) belongs to one id at a time; an id may be shortened
 * to any unique beginning, as the CRI's tools do.
 */
export class Store<T extends Record> {
  readonly #directory: string;
  readonly #kind: string;
  readonly #byId = new Map<string, T>();
  readonly #names = new Map<string, string>();
  readonly #nameOf: (record: T) => string;
  readonly #isWhole: (value: unknown) => value is T;
  readonly #log: Logger;
  readonly #writes = new KeyedLock();
  /** Serialises what is done to one object. */
  readonly lock = new KeyedLock();

  constructor(options: StoreOptions<T>) {
    this.#directory = options.directory;
    this.#kind = options.kind;
    this.#nameOf = options.nameOf;
    this.#isWhole = options.isWhole;
    this.#log = options.log;
  }

  /** Where an object may keep files of its own. */
  directoryOf(id: string): string {
    return path.join(this.#directory, id);
  }

  /** Reads what an earlier process has left; lists keep the order in which things were made. */
  async load(): Promise<Leavings> {
    const leavings: Leavings = { halfMade: [], corrupt: [] };
    const found: T[] = [];
    for (const id of await namesIn(this.#directory)) {
      const read = await this.#read(id);
      if (read === undefined) leavings.halfMade.push(id);
      else if (typeof read === "string") leavings.corrupt.push({ id, reason: read });
      else found.push(read);
    }
    const since = ({ createdAt = "" }: T) => createdAt.padStart(20, "0"); // of as many digits, the order of texts is that of numbers
    found.sort((a, b) => (since(a) < since(b) ? -1 : since(a) > since(b) ? 1 : 0));
    for (const record of found) this.#keep(record);
    return leavings;
  }

  /** A record, or in words why it is none; undefined when there is no file. What a writer has left half written goes. */
  async #read(id: string): Promise<T | string | undefined> {
    const file = recordPath(this.#directory, id);
    const folder = path.dirname(file);
    for (const name of await readdir(folder).catch(() => [])) {
      if (name.startsWith(`${path.basename(file)}.`)) await rm(path.join(folder, name), { force: true });
    }
    try {
      const value: unknown = JSON.parse(await readFile(file, "utf8"));
      if (!this.#isWhole(value)) return `${file} is incomplete`;
      return value.id === id ? value : `${file} is of another id`;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT" || code === "ENOTDIR") return undefined;
      return error instanceof Error ? error.message : String(error);
    }
  }

  /** Takes `name` for `id` before anything is made. Throws AlreadyExists. */
  reserve(name: string, id: string): void {
    const holder = this.#names.get(name);
    if (holder && holder !== id) {
      throw new CRIError(Code.AlreadyExists, `${this.#kind} name "${name}" is reserved for "${holder}"`);
    }
    this.#names.set(name, id);
  }

  /** Gives a name that `id` has reserved back, when making the object failed. */
  release(name: string, id: string): void {
    if (this.#names.get(name) === id) this.#names.delete(name); // else it has been given back, and is another's by now
  }

  /** Makes the object's directory. */
  async prepare(id: string): Promise<string> {
    const directory = this.directoryOf(id);
    await mkdir(directory, { recursive: true, mode: 0o711 });
    return directory;
  }

  /**
   * Keeps a record: in memory at once, on disk when the promise resolves. A new one that cannot be written is none: it is off
   * the list when this throws, and its name is taken until it is released.
   */
  async save(record: T): Promise<T> {
    const isNew = !this.#byId.has(record.id);
    this.#keep(record);
    try {
      await this.#write(record.id);
    } catch (error) {
      if (isNew) this.#byId.delete(record.id);
      throw error;
    }
    return record;
  }

  /**
   * Changes a record. `change` sees the latest state and must not wait: two changes at a time both count.
   * Throws NotFound when the object is gone meanwhile.
   */
  async update(id: string, change: (record: T) => T): Promise<T> {
    return await this.save(change(this.get(id)));
  }

  /**
   * Changes a record in a way that a restart would find out by itself: when the disk cannot take it, that is no failure. The
   * next change writes it. So what is stopped or removed to make room can be, on a disk that is full.
   */
  async note(id: string, change: (record: T) => T): Promise<T> {
    try {
      return await this.update(id, change);
    } catch (error) {
      if (error instanceof CRIError) throw error;
      this.#log.warn(`cannot write the state of a ${this.#kind}`, { id, error });
      return this.get(id);
    }
  }

  /** One writer per object at a time; each writes what is in memory by then. */
  async #write(id: string): Promise<void> {
    await this.#writes.run(id, async () => {
      const latest = this.#byId.get(id);
      if (latest) await writeJSON(recordPath(this.#directory, id), latest);
    });
  }

  /** Lets go of the record in memory. */
  forget(id: string): void {
    const record = this.#byId.get(id);
    this.#byId.delete(id);
    if (record) this.#names.delete(this.#nameOf(record));
  }

  /** Removes the record and the object's directory. */
  async remove(id: string): Promise<void> {
    this.forget(id);
    await this.#writes.run(id, () => removeTree(this.directoryOf(id)));
  }

  /**
   * Undefined when there is none. Throws CRIError InvalidArgument for the beginning of several ids: to stop or remove none is no
   * success.
   */
  find(idOrPrefix: string): T | undefined {
    const exact = this.#byId.get(idOrPrefix);
    if (exact || !idOrPrefix) return exact;
    const [first, ...others] = [...this.#byId.values()].filter(({ id }) => id.startsWith(idOrPrefix));
    if (others.length === 0) return first;
    throw new CRIError(Code.InvalidArgument, `${this.#kind} id "${idOrPrefix}" is the beginning of several`);
  }

  /** Throws CRIError NotFound, or as find(). */
  get(idOrPrefix: string): T {
    const record = this.find(idOrPrefix);
    if (!record) throw new CRIError(Code.NotFound, `${this.#kind} "${idOrPrefix}" not found`);
    return record;
  }

  list(): T[] {
    return [...this.#byId.values()];
  }

  #keep(record: T) {
    this.#byId.set(record.id, record);
    this.#names.set(this.#nameOf(record), record.id);
  }
}
