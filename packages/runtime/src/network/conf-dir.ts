import { readdir } from "node:fs/promises";
import path from "node:path";
import { readPlainFile } from "@hawser/files";
import type { Logger } from "@hawser/trace";
import { CNIError } from "./cni.ts";
import type { NetworkList } from "./list.ts";
import { checkNetwork, parseNetwork, parsePlugin } from "./parse.ts";

/** All files of one network together, bytes: a plugin is told its part by a pipe, which has to hold it (spawn.ts). */
const maxBytes = 32 * 1024;

/** A network, and the file that says so. */
export interface Configured {
  file: string;
  list: NetworkList;
}

/**
 * A directory where others, as calico or flannel, say what the pods' network is: by the first file in the order of their names. It
 * is read whenever somebody asks, so that what has come, changed or gone counts at once.
 *
 * Source: containerd/go-cni opts.go; containernetworking/cni libcni/conf.go
 */
export class ConfDir {
  readonly path: string;
  readonly #log: Logger;
  #last: (Configured & { text: string }) | undefined;
  #failure = "";

  constructor({ path, log }: { path: string; log: Logger }) {
    this.path = path;
    this.#log = log;
  }

  /** Why the last reading has failed; empty when it has not. */
  get failure(): string {
    return this.#failure;
  }

  /**
   * The network of now. While its file cannot be understood, or is half written, it is the one of before, and the log tells why.
   * Throws CNIError, in containerd's words, when there is none.
   */
  async read(): Promise<Configured> {
    try {
      const found = await read(this.path);
      const text = JSON.stringify(found);
      if (text !== this.#last?.text) {
        this.#last = { ...found, text };
        this.#log.info("the pods' network", {
          file: found.file,
          name: found.list.name,
          cniVersion: found.list.cniVersion,
        });
      }
      this.#failure = "";
      return this.#last;
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      if (cause instanceof NoneError) this.#last = undefined;
      if (reason !== this.#failure)
        this.#log.warn("cannot read the pods' network", { reason, stays: this.#last?.file });
      this.#failure = reason;
      if (this.#last) return this.#last;
      throw new CNIError(`cni plugin not initialized: ${reason}`, { cause });
    }
  }
}

/** Nobody has configured a network yet, or any more. */
class NoneError extends Error {}

async function read(directory: string): Promise<Configured> {
  const [name] = await filesIn(directory, /\.(conflist|conf|json)$/);
  if (name === undefined) throw new NoneError(`no network config found in ${directory}`);
  const file = path.join(directory, name);
  return { file, list: await readNetwork(file).catch(naming(file)) };
}

async function readNetwork(file: string): Promise<NetworkList> {
  let text = await readPlainFile(file, maxBytes);
  const { isOpen, ...list } = parseNetwork(text, { isList: file.endsWith(".conflist") });
  const beside = path.join(path.dirname(file), list.name);
  for (const name of isOpen ? await filesIn(beside, /\.conf$/) : []) {
    const more = await readPlainFile(path.join(beside, name), maxBytes - text.length).catch(naming(name));
    text += more;
    list.plugins.push(parsePlugin(more));
  }
  checkNetwork(list);
  return list;
}

/** Names, in order, of what is no directory; none where there is no such directory. */
async function filesIn(directory: string, wanted: RegExp): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT" && error.code !== "ENOTDIR") throw error;
    return [];
  });
  return entries.flatMap((entry) => (!entry.isDirectory() && wanted.test(entry.name) ? [entry.name] : [])).sort();
}

function naming(file: string): (cause: unknown) => never {
  return (cause) => {
    throw new Error(`${file}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  };
}
