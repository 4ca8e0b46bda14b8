/** Bytes of messages that have not come to their end, of all connections of this process together. */
export const maxUnfinished = 256 * 1024 * 1024;
/** What one connection may hold though all together hold too much: the messages that usual clients send are far below it. */
export const fairShare = 1024 * 1024;

let held = 0;

/**
 * Counts what one connection holds of a message that is not complete. One message may have 32 MiB, as with real servers; a
 * thousand clients that each send all but the last byte of one shall not have a thousand times that.
 */
export class Unfinished {
  #bytes = 0;

  /** More has come. False when all connections hold too much, and this one more than its share: it has to go. */
  add(bytes: number): boolean {
    this.#bytes += bytes;
    held += bytes;
    return held <= maxUnfinished || this.#bytes <= fairShare;
  }

  /** The message is complete, or the connection over. */
  clear(): void {
    held -= this.#bytes;
    this.#bytes = 0;
  }
}
