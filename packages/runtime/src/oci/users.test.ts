import assert from "node:assert/strict";
import { test } from "node:test";
import { resolveUser, type UserRequest } from "./users.ts";

const files = {
  passwd: "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001::/home/web:/bin/sh\nbroken\n1234:x:5:6::/five:\n",
  group: "root:x:0:\nweb:x:1001:\nextra:x:2000:other,web\nempty::::\n",
};
const nothing: UserRequest = { supplementalGroups: [], strictGroups: false, imageUser: "" };

for (const { name, request, want, home } of [
  { name: "root when nobody says", request: nothing, want: [0, 0, [0]], home: "/root" },
  {
    name: "the image's name",
    request: { ...nothing, imageUser: "web" },
    want: [1000, 1001, [1001, 2000]],
    home: "/home/web",
  },
  {
    name: "the image's name and group",
    request: { ...nothing, imageUser: "web:extra" },
    want: [1000, 2000, [2000]],
    home: "/home/web",
  },
  { name: "the image's numbers", request: { ...nothing, imageUser: "7:8" }, want: [7, 8, [8]], home: "/" },
  {
    name: "the request's uid over the image's",
    request: { ...nothing, uid: 1000, imageUser: "root" },
    want: [1000, 1001, [1001, 2000]],
    home: "/home/web",
  },
  {
    name: "uid 0 over the image's",
    request: { ...nothing, uid: 0, imageUser: "web" },
    want: [0, 0, [0]],
    home: "/root",
  },
  { name: "uid and gid", request: { ...nothing, uid: 1000, gid: 5 }, want: [1000, 5, [5, 2000]], home: "/home/web" },
  { name: "a uid that is in no file", request: { ...nothing, uid: 4711, gid: 12 }, want: [4711, 12, [12]], home: "/" },
  {
    name: "the image's group is not joined to another's uid",
    request: { ...nothing, uid: 4711, imageUser: "web:extra" },
    want: [4711, 0, [0]],
    home: "/",
  },
  {
    name: "supplemental groups",
    request: { ...nothing, uid: 1000, supplementalGroups: [9, 3] },
    want: [1000, 1001, [3, 9, 1001, 2000]],
    home: "/home/web",
  },
  {
    name: "only those with the strict policy",
    request: { ...nothing, uid: 1000, supplementalGroups: [9], strictGroups: true },
    want: [1000, 1001, [9, 1001]],
    home: "/home/web",
  },
  {
    name: "a name before a uid",
    request: { ...nothing, uid: 0, username: "web" },
    want: [1000, 1001, [1001, 2000]],
    home: "/home/web",
  },
  {
    name: "a name with its group",
    request: { ...nothing, username: "web:5" },
    want: [1000, 5, [5, 2000]],
    home: "/home/web",
  },
  { name: "a name that is a number", request: { ...nothing, username: "1234" }, want: [1234, 6, [6]], home: "/five" },
] as { name: string; request: UserRequest; want: [number, number, number[]]; home: string }[]) {
  test(`resolveUser: ${name}`, () => {
    const resolved = resolveUser(request, files);
    const [uid, gid, additionalGids] = want;
    assert.deepEqual(resolved, { user: { uid, gid, additionalGids }, home });
  });
}

test("resolveUser: a name must be in the image's files", () => {
  assert.throws(() => resolveUser({ ...nothing, username: "none" }, files), { code: 3, message: /"none"/ });
  assert.throws(() => resolveUser({ ...nothing, imageUser: "web:none" }, files), { code: 3, message: /"none"/ });
});

test("resolveUser: numbers out of range are refused", () => {
  assert.throws(() => resolveUser({ ...nothing, uid: 2 ** 31 }, files), { code: 3 });
});
