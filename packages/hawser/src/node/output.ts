import { type DescMessage, type MessageShape, toJson } from "@hawser/cri";
import { stringify } from "yaml";
import type { Output } from "./flags.ts";

/** Digits of an id in tables, as crictl shows them. */
const shortId = 13;

export function table(rows: readonly (readonly string[])[]): string {
  const clean = rows.map((row) => row.map(visible));
  const widths = (clean[0] ?? []).map((_, column) => Math.max(...clean.map((row) => (row[column] ?? "").length)));
  const line = (row: string[]) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("   ");
  return clean.map((row) => `${line(row).trimEnd()}\n`).join("");
}

/** A name that holds control characters cannot steer a terminal. */
function visible(cell: string): string {
  return cell.replace(
    /[\u0000-\u001f\u007f-\u009f]/g,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}

/** A message as JSON in protobuf's own mapping, with every field, as crictl prints it. */
export function plain<Schema extends DescMessage>(schema: Schema, message: MessageShape<Schema>): Json {
  return toJson(schema, message, { alwaysEmitImplicit: true }) as Json; // a message is an object
}

/** What a runtime says as text by name: what of it is JSON is shown as such. */
export function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text; // it is text then
  }
}

export type Json = Record<string, unknown>;

/** C1 controls, which JSON leaves as they are and terminals obey, are escaped too. */
export function document(value: Json, format: Exclude<Output, "table">): string {
  const text = format === "json" ? `${JSON.stringify(value, null, 2)}\n` : stringify(value, { lineWidth: 0 });
  return text.replace(/[\u007f-\u009f]/g, (character) => `\\u00${character.charCodeAt(0).toString(16)}`);
}

export function shown(id: string, whole: boolean): string {
  const hex = id.replace(/^sha256:/, "");
  return whole ? id : hex.slice(0, shortId);
}

/** From nanoseconds since 1970. */
export function age(created: bigint, now: number): string {
  if (created <= 0n) return "";
  const seconds = Math.max(0, Math.floor(now / 1000 - Number(created / 1_000_000_000n)));
  if (seconds < 120) return `${seconds}s ago`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m ago`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)}h ago` : `${Math.floor(seconds / 86_400)}d ago`;
}

/** Three digits and a decimal unit, as crictl and docker have it. */
export function bytes(size: bigint | number): string {
  let value = Number(size);
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let unit = 0;
  for (; value >= 1000 && unit < units.length - 1; unit++) value /= 1000;
  return `${Number(value.toPrecision(unit === 0 ? 4 : 3))}${units[unit]}`;
}

/** RFC 3339 with all nanoseconds; Go's zero time for none, as crictl has it. */
export function nanoTime(nanoseconds: bigint): string {
  if (nanoseconds <= 0n) return "0001-01-01T00:00:00Z";
  const seconds = new Date(Number(nanoseconds / 1_000_000_000n) * 1000).toISOString().slice(0, 19);
  return `${seconds}.${String(nanoseconds % 1_000_000_000n).padStart(9, "0")}Z`;
}
