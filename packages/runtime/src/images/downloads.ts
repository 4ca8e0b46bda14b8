import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { orAborted } from "../or-aborted.ts";
import { Arrival } from "./arrival.ts";

/** A blob on disk, for as long as somebody needs it. */
export interface Blob extends AsyncDisposable {
  path: string;
}

/** Brings a blob into a new file; says with `arrival` how far it is. */
type Fetch = (path: string, signal: AbortSignal, arrival: Arrival) => Promise<void>;

interface Transfer {
  arrival: Arrival;
  done: Promise<void>;
  abort: AbortController;
  users: number;
}

/**
 * Blobs on their way: whoever needs one that another is fetching waits for that transfer. It goes on as long as one of them
 * waits, and its file goes with the last one.
 */
export class Downloads {
  readonly #directory: string;
  readonly #transfers = new Map<string, Transfer>();

  /** `directory` is for the files. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /**
   * The blob of this digest. `fetch` brings it into a new file; it is called unless another's does so already, and again when
   * that one fails: another's registry, or credentials, may be at fault. Throws what `fetch` does, or the signal's reason.
   * `onStart` gets the file as it arrives, for each transfer that is waited for.
   */
  async get(digest: string, fetch: Fetch, signal: AbortSignal, onStart?: (arrival: Arrival) => void): Promise<Blob> {
    for (;;) {
      signal.throwIfAborted();
      const known = this.#transfers.get(digest);
      const transfer = known ?? this.#start(digest, fetch);
      transfer.users++;
      onStart?.(transfer.arrival);
      try {
        await orAborted(transfer.done, signal);
        return { path: transfer.arrival.path, [Symbol.asyncDispose]: () => this.#release(digest, transfer) };
      } catch (error) {
        await this.#release(digest, transfer);
        signal.throwIfAborted();
        if (!known) throw error;
      }
    }
  }

  #start(digest: string, fetch: Fetch): Transfer {
    const arrival = new Arrival(join(this.#directory, `blob-${randomBytes(8).toString("hex")}`));
    const abort = new AbortController();
    const transfer: Transfer = { arrival, abort, users: 0, done: fetch(arrival.path, abort.signal, arrival) };
    this.#transfers.set(digest, transfer);
    transfer.done.then(
      () => arrival.ended(),
      () => {
        arrival.break();
        this.#forget(digest, transfer); // nobody is to join it any more
      },
    );
    return transfer;
  }

  async #release(digest: string, transfer: Transfer): Promise<void> {
    transfer.users--;
    if (transfer.users > 0) return;
    this.#forget(digest, transfer);
    transfer.abort.abort(new Error("nobody waits for the download any more"));
    await transfer.done.catch(() => undefined); // it writes into the file that goes now
    await rm(transfer.arrival.path, { force: true });
  }

  #forget(digest: string, transfer: Transfer): void {
    if (this.#transfers.get(digest) === transfer) this.#transfers.delete(digest);
  }
}
