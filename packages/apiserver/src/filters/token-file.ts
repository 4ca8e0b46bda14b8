import { createHash } from "node:crypto";
import type { UserInfo } from "../request.ts";
import { authenticated } from "../users.ts";

/** Users by the SHA-256 of their token: a look-up then tells nothing by its time. */
export type TokenFile = ReadonlyMap<string, UserInfo>;

export function userOfToken(file: TokenFile, token: string): UserInfo | undefined {
  return file.get(digest(token));
}

/**
 * Reads a static token file: one `token,user,uid[,"group1,group2"]` a line, CSV as Go reads it (quotes, `""`).
 * Lines with an empty token are passed over. Throws when a line has fewer than three columns.
 *
 * Source: kubernetes/apiserver pkg/authentication/token/tokenfile/tokenfile.go
 */
export function parseTokenFile(text: string, path: string): TokenFile {
  const users = new Map<string, UserInfo>();
  for (const record of parseCSV(text)) {
    const [token, name, uid, groups] = record;
    if (token === undefined || name === undefined || uid === undefined) {
      throw new Error(
        `token file '${path}' must have at least 3 columns (token, user name, user uid), found ${record.length}`,
      );
    }
    if (token === "") continue;
    users.set(digest(token), authenticated({ name, uid, groups: groups ? groups.split(",") : [] }));
  }
  return users;
}

function digest(token: string): string {
  return createHash("sha256").update(token).digest("base64");
}

/** Records of a CSV text. Empty lines are none. Throws when a quote is left open or stands inside a bare field. */
export function parseCSV(text: string): string[][] {
  const records: string[][] = [];
  let record: string[] = [];
  const field = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/y;
  while (field.lastIndex < text.length || record.length > 0) {
    const start = field.lastIndex;
    const match = field.exec(text);
    if (!match) throw new Error(`bad quotes in line ${text.slice(0, start).split("\n").length}`);
    const [, quoted, bare = "", end] = match;
    record.push(quoted === undefined ? bare : quoted.replaceAll('""', '"'));
    if (end === ",") continue;
    if (record.length > 1 || quoted !== undefined || bare !== "") records.push(record);
    record = [];
    if (end === "") break;
  }
  return records;
}
