/**
 * Gives a chunk's memory back at once, instead of with a garbage collection to come: V8 lets tens of MB of such chunks gather,
 * and marks its whole heap then. For chunks that nobody looks at any more. One that is part of something larger stays.
 */
export function release({ buffer, byteLength }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0);
}
