/** Streams that are told apart; more of them at once are counted as one. */
const maxStreams = 4096;

type Side = "client" | "server";
const Ended: Record<Side, number> = { client: 1, server: 2 };
const both = Ended.client | Ended.server;

/**
 * Counts what was sent on each stream that is not over: nobody tells how much of it was taken. What comes late on one that is over, behind a
 * reset from the other side, is not counted.
 */
export class OpenInputs {
  readonly #streams = new Map<number, { sent: number; ended: number }>();
  /** Bytes on those that are not told apart; undefined where there are none. */
  #others: number | undefined;

  opened(streamId: number): void {
    if (this.#streams.size < maxStreams) this.#streams.set(streamId, { sent: 0, ended: 0 });
    else this.#others ??= 0;
  }

  sent(streamId: number, bytes: number): void {
    const stream = this.#streams.get(streamId);
    if (stream) stream.sent += bytes;
    else if (this.#others !== undefined) this.#others += bytes;
  }

  ended(streamId: number, side: Side): void {
    const stream = this.#streams.get(streamId);
    if (!stream) return;
    stream.ended |= Ended[side];
    if (stream.ended === both) this.#streams.delete(streamId);
  }

  reset(streamId: number): void {
    this.#streams.delete(streamId);
  }

  /** Bytes sent on the one that got most. */
  get most(): number {
    let most = this.#others ?? 0;
    for (const { sent } of this.#streams.values()) most = Math.max(most, sent);
    return most;
  }

  /** How many are told apart. */
  get size(): number {
    return this.#streams.size;
  }
}
