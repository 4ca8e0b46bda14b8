import { Code, CRIError } from "@hawser/cri";
import type { User } from "./types.ts";

/** What is read of an image's passwd and group, bytes. */
export const maxUserFileBytes = 1024 * 1024;

/** Groups of one process. Source: Linux include/uapi/linux/limits.h, NGROUPS_MAX */
export const maxGroups = 65536;

export interface UserRequest {
  /** Absent when not given. */
  uid?: number | undefined;
  gid?: number | undefined;
  /** Instead of uid, and before it: as in containerd. May have a group, as the image's. */
  username?: string | undefined;
  supplementalGroups: number[];
  /** Only the groups given: those of the image's /etc/group do not count. */
  strictGroups: boolean;
  /** The image's User: `name`, `1000`, `name:group`, `1000:1000`. Used when nothing else is given. */
  imageUser: string;
}

export interface UserFiles {
  passwd: string;
  group: string;
}

interface PasswdEntry {
  name: string;
  uid: number;
  gid: number;
  home: string;
}

/**
 * Who a container's process is: a request's uid or name, else the image's user, else root, with the groups
 * of the image's files. A number needs no entry; a name does. Throws InvalidArgument.
 *
 * Source: moby/sys user/user.go (GetExecUser), containerd/containerd internal/cri/opts/spec_linux.go
 */
export function resolveUser(request: UserRequest, files: UserFiles): { user: User; home: string } {
  const entries = parsePasswd(files.passwd);
  const groups = parseGroup(files.group);
  const given = request.username || request.uid?.toString() || request.imageUser || "0";
  const [who = "", ownGroup] = given.split(":");

  const numeric = /^\d+$/.test(who) ? Number(who) : undefined;
  const entry = entries.find(({ name, uid }) => name === who || (numeric !== undefined && uid === numeric));
  if (!entry && numeric === undefined) {
    throw new CRIError(Code.InvalidArgument, `unable to find user "${who}": no matching entries in passwd file`);
  }
  const uid = numeric ?? entry?.uid ?? 0;
  const groupGiven = request.gid ?? (ownGroup ? groupId(ownGroup, groups) : undefined);
  const gid = groupGiven ?? entry?.gid ?? 0;
  if (uid > 0x7fffffff || gid > 0x7fffffff)
    throw new CRIError(Code.InvalidArgument, "uids and gids must be in range 0-2147483647");

  const own = entry ? groups.filter(({ members }) => members.includes(entry.name)).map((group) => group.gid) : [];
  const additional = new Set([gid, ...(request.strictGroups ? [] : own), ...request.supplementalGroups]);
  if (additional.size > maxGroups) {
    throw new CRIError(Code.InvalidArgument, `the process has more than ${maxGroups} groups, with those of its image`);
  }
  return {
    user: { uid, gid, additionalGids: [...additional].sort((a, b) => a - b) },
    home: cleanHome(entry?.home),
  };
}

function groupId(group: string, groups: { name: string; gid: number }[]): number {
  if (/^\d+$/.test(group)) return Number(group);
  const found = groups.find(({ name }) => name === group);
  if (!found)
    throw new CRIError(Code.InvalidArgument, `unable to find group "${group}": no matching entries in group file`);
  return found.gid;
}

function parsePasswd(text: string): PasswdEntry[] {
  return text.split("\n").flatMap((line) => {
    const [name, , uid, gid, , home = ""] = line.split(":");
    return name && /^\d+$/.test(uid ?? "") ? [{ name, uid: Number(uid), gid: Number(gid) || 0, home }] : [];
  });
}

function parseGroup(text: string): { name: string; gid: number; members: string[] }[] {
  return text.split("\n").flatMap((line) => {
    const [name, , gid, members = ""] = line.split(":");
    return name && /^\d+$/.test(gid ?? "")
      ? [{ name, gid: Number(gid), members: members.split(",").filter(Boolean) }]
      : [];
  });
}

/** HOME of the process: never anything that is not one plain path (CVE-2022-4318). */
function cleanHome(home: string | undefined): string {
  return home && /^\/[^\n\r\0]*$/.test(home) ? home : "/";
}
