/** Numbers from 0 to below 1, the same for the same seed. Source: mulberry32, public domain */
export function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** An input has at most so many bytes: what is found in more can be found in less. */
const maxLength = 2048;

/** What the wires are made of. */
const words = [
  "8003000100",
  "80030002",
  "80030003",
  "8003000600000004",
  "8003000700000008",
  "000000010100",
  "7fffffff",
  "ffffffff",
  "78bbe3c6a7c2",
  "0000ffff",
  "8281",
  "82fe",
  "82ff0000000000",
  "8882",
  "ff00",
].map((text) => Buffer.from(text, "hex"));
const texts = ['{"status":"Success"}', '{"Width":80,"Height":24}', "streamtype", "=="].map((text) => Buffer.from(text));
const tokens = [...words, ...texts];

/** One to eight changes of an input, drawn from `random`; `others` lend what they have. */
export function mutate(input: Buffer, others: readonly Buffer[], random: () => number): Buffer {
  let bytes = input;
  const below = (limit: number) => Math.floor(random() * limit);
  const pick = <T>(from: readonly T[]) => from[below(from.length)];
  for (let changes = 1 + below(8); changes > 0; changes--) {
    const at = below(bytes.byteLength + 1);
    const rest = (skip: number) => bytes.subarray(Math.min(at + skip, bytes.byteLength));
    const put = (piece: Uint8Array, skip = 0) => Buffer.concat([bytes.subarray(0, at), piece, rest(skip)]);
    switch (below(8)) {
      case 0:
        bytes = put(Buffer.of((bytes[at] ?? 0) ^ (1 << below(8))), 1);
        break;
      case 1:
        bytes = put(Buffer.of(below(256)), 1);
        break;
      case 2:
        bytes = put(Buffer.from(Array.from({ length: 1 + below(8) }, () => below(256))));
        break;
      case 3:
        bytes = put(Buffer.alloc(0), 1 + below(16));
        break;
      case 4:
        bytes = put(bytes.subarray(at, at + 1 + below(64)));
        break;
      case 5:
        bytes = put(pick(tokens) ?? Buffer.alloc(0), below(2) * 4);
        break;
      case 6: {
        const other = pick(others) ?? bytes;
        const from = below(other.byteLength);
        bytes = put(other.subarray(from, from + below(128)), below(32));
        break;
      }
      default:
        bytes = put(Buffer.of([0, 1, 0x7f, 0x80, 0xfe, 0xff][below(6)] ?? 0), 1);
    }
  }
  return bytes.subarray(0, maxLength);
}
