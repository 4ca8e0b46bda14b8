/** Streams that are told apart; more of them at once are counted as one. */
const maxStreams = 4096;

type Side = "client" | "server";
const Ended: Record<Side, number> = { client: 1, server: 2 };
const both = Ended.client | Ended.server;

/** Counts what was sent on each stream that is not over: nobody tells how much of it was taken. */
export class OpenInputs {
  readonly #streams = new Map<number, { sent: number; ended: number }>();
  #others = 0;

  sent(streamId: number, bytes: number): void {
    if (bytes === 0) return;
    const stream = this.#stream(streamId);
    if (stream) stream.sent += bytes;
    else this.#others += bytes;
  }

  ended(streamId: number, side: Side): void {
    const stream = this.#stream(streamId);
    if (!stream) return;
    stream.ended |= Ended[side];
    if (stream.ended === both) this.#streams.delete(streamId);
  }

  reset(streamId: number): void {
    this.#streams.delete(streamId);
  }

  /** Bytes sent on the one that got most. */
  get most(): number {
    let most = this.#others;
    for (const { sent } of this.#streams.values()) most = Math.max(most, sent);
    return most;
  }

  #stream(streamId: number) {
    const known = this.#streams.get(streamId);
    if (known || this.#streams.size >= maxStreams) return known;
    const stream = { sent: 0, ended: 0 };
    this.#streams.set(streamId, stream);
    return stream;
  }
}
