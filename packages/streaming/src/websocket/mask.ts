import { createRequire } from "node:module";

interface MachineCode {
  mask(source: Uint8Array, mask: Uint8Array, output: Uint8Array, offset: number, length: number): void;
  unmask(bytes: Uint8Array, mask: Uint8Array): void;
}

/** Bytes from which on machine code is worth its call; and what a command that sends less need not load. */
const worthwhile = 4 * 1024;

/** bufferutil; null where it is not installed, or has nothing for this machine but JavaScript that is slower than ours; undefined before it was looked for. */
let machineCode: MachineCode | null | undefined;

function machineCodeFor(bytes: number): MachineCode | null {
  if (bytes < worthwhile) return null;
  if (machineCode === undefined) machineCode = loadMachineCode();
  return machineCode;
}

function loadMachineCode(): MachineCode | null {
  try {
    const require = createRequire(import.meta.filename);
    const found = require("bufferutil") as MachineCode;
    return found === require("bufferutil/fallback") ? null : found;
  } catch {
    return null;
  }
}

/**
 * Copies `payload` to `offset` in `frame`, masked. `position`: bytes of the frame's payload before these.
 *
 * Source: RFC 6455, section 5.3
 */
export function maskInto(
  { frame, offset }: { frame: Buffer; offset: number },
  payload: Uint8Array,
  { mask, position }: { mask: Uint8Array; position: number },
): void {
  const code = machineCodeFor(payload.byteLength);
  if (code) {
    code.mask(payload, turned(mask, position), frame, offset, payload.byteLength);
  } else {
    frame.set(payload, offset);
    xor(frame.subarray(offset, offset + payload.byteLength), mask, position);
  }
}

/** Masks bytes in place, or unmasks them: it is the same. `position`: bytes of the frame's payload before these. */
export function unmask(bytes: Buffer, mask: Uint8Array, position: number): void {
  const code = machineCodeFor(bytes.byteLength);
  if (code) code.unmask(bytes, turned(mask, position));
  else xor(bytes, mask, position);
}

/** The mask as it is for the byte at `position` and those after. The next call writes over what this one returns. */
function turned(mask: Uint8Array, position: number): Uint8Array {
  for (let at = 0; at < 4; at++) scratch[at] = mask[(position + at) % 4] ?? 0;
  return scratch;
}

/** What `turned` returns. */
const scratch = new Uint8Array(4);

function xor(bytes: Buffer, mask: Uint8Array, position: number) {
  // Four at a time, from where memory is aligned.
  const lead = Math.min(bytes.byteLength, (4 - (bytes.byteOffset % 4)) % 4);
  const words = Math.floor((bytes.byteLength - lead) / 4);
  if (words > 0) {
    const [word = 0] = new Int32Array(turned(mask, position + lead).buffer);
    xorWords(new Int32Array(bytes.buffer, bytes.byteOffset + lead, words), word);
  }
  const single = (index: number) => {
    bytes[index] = (bytes[index] ?? 0) ^ (mask[(position + index) % 4] ?? 0);
  };
  for (let index = 0; index < lead; index++) single(index);
  for (let index = lead + words * 4; index < bytes.byteLength; index++) single(index);
}

function xorWords(words: Int32Array, word: number) {
  for (let index = 0; index < words.length; index++) words[index] = (words[index] ?? 0) ^ word;
}
