import { TarError } from "./header.ts";

/** One record of a pax extended header, as byte strings ("latin1"). Order matters: sparse maps repeat keys. */
export type PaxRecord = readonly [key: string, value: string];

/**
 * Reads the body of a pax extended header: `"LENGTH KEY=VALUE\n"`, repeated.
 * Throws TarError when a length does not fit.
 *
 * Source: POSIX.1-2017 pax, "pax Extended Header".
 */
export function parsePax(body: Buffer): PaxRecord[] {
  const records: PaxRecord[] = [];
  let at = 0;
  while (at < body.length) {
    const space = body.indexOf(0x20, at);
    const digits = space < 0 ? "" : body.toString("latin1", at, space);
    const length = /^[0-9]{1,9}$/.test(digits) ? Number(digits) : 0;
    const record = body.subarray(space + 1, at + length);
    const equals = record.indexOf(0x3d);
    if (at + length > body.length || record.at(-1) !== 0x0a || equals < 1) {
      throw new TarError("tar archive has a malformed pax record");
    }
    records.push([record.toString("latin1", 0, equals), record.toString("latin1", equals + 1, record.length - 1)]);
    at += length;
  }
  return records;
}

/** Writes the body of a pax extended header. */
export function formatPax(records: readonly PaxRecord[]): Buffer {
  return Buffer.from(records.map(formatRecord).join(""), "latin1");
}

/** The last value of a key: later records win. */
export function paxValue(records: readonly PaxRecord[], key: string): string | undefined {
  return records.findLast(([name]) => name === key)?.[1];
}

function formatRecord([key, value]: PaxRecord): string {
  const rest = key.length + value.length + 3; // space, equals sign, newline
  let length = rest + String(rest).length;
  if (rest + String(length).length > length) length++; // one digit more may need one digit more
  return `${length} ${key}=${value}\n`;
}
