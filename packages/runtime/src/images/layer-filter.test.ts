import assert from "node:assert/strict";
import { test } from "node:test";
import { TarDecoder, tarArchive, tarEntry } from "@hawser/tar";
import { LayerFilter } from "./layer-filter.ts";

function filter(entries: Buffer[], step = 1 << 20) {
  const layer = new LayerFilter();
  const archive = tarArchive(entries);
  const out: Buffer[] = [];
  for (let at = 0; at < archive.length; at += step) out.push(layer.push(archive.subarray(at, at + step)));
  out.push(layer.finish());
  const seen: string[] = [];
  const decoder = new TarDecoder();
  for (const event of decoder.push(Buffer.concat(out))) {
    if (event.type === "data") {
      seen.push(`  ${event.bytes.toString()}`);
      continue;
    }
    const { type, name, linkname } = event.entry.header;
    const pax = event.entry.pax.map(([key, value]) => ` ${key}=${value}`).join("");
    seen.push(`${type} ${name}${linkname && ` -> ${linkname}`}${pax}`);
  }
  decoder.finish();
  return { layer, seen };
}

const kept: { name: string; entries: Buffer[]; want: string[] }[] = [
  {
    name: "absolute and dotted names lie in the layer",
    entries: [tarEntry({ name: "/etc/passwd" }, "x"), tarEntry({ name: "./a//b/./c" })],
    want: ["0 etc/passwd", "  x", "0 a/b/c"],
  },
  {
    name: "a file below an absolute link lies where the link leads inside the layer",
    entries: [tarEntry({ name: "lib", type: "2", linkname: "/usr/lib" }), tarEntry({ name: "lib/x" }, "1")],
    want: ["2 lib -> /usr/lib", "0 usr/lib/x", "  1"],
  },
  {
    name: "a link that climbs stops at the layer's root",
    entries: [tarEntry({ name: "a/up", type: "2", linkname: "../../../../etc" }), tarEntry({ name: "a/up/passwd" })],
    want: ["2 a/up -> ../../../../etc", "0 etc/passwd"],
  },
  {
    name: "links are followed through links",
    entries: [
      tarEntry({ name: "a", type: "2", linkname: "b" }),
      tarEntry({ name: "b", type: "2", linkname: "/c/d" }),
      tarEntry({ name: "a/f" }),
    ],
    want: ["2 a -> b", "2 b -> /c/d", "0 c/d/f"],
  },
  {
    name: "the target of a hard link is resolved as well",
    entries: [
      tarEntry({ name: "out", type: "2", linkname: "/etc" }),
      tarEntry({ name: "h", type: "1", linkname: "out/shadow" }),
    ],
    want: ["2 out -> /etc", "1 h -> etc/shadow"],
  },
  {
    name: "a hard link to a link is one itself",
    entries: [
      tarEntry({ name: "s", type: "2", linkname: "/etc" }),
      tarEntry({ name: "t", type: "1", linkname: "s" }),
      tarEntry({ name: "t/passwd" }),
    ],
    want: ["2 s -> /etc", "1 t -> s", "0 etc/passwd"],
  },
  {
    name: "a link that is there twice is there once",
    entries: [tarEntry({ name: "a", type: "2", linkname: "/b" }), tarEntry({ name: "a", type: "2", linkname: "/b" })],
    want: ["2 a -> /b"],
  },
  {
    name: "xattrs stay, but overlayfs' own, and unknown records",
    entries: [
      tarEntry({ name: "a" }, "", [
        ["SCHILY.xattr.security.capability", "c"],
        ["SCHILY.xattr.trusted.overlay.redirect", "/etc"],
        ["SCHILY.xattr.user.overlay.opaque", "y"],
        ["comment", "x"],
        ["mtime", "1.5"],
      ]),
    ],
    want: ["0 a SCHILY.xattr.security.capability=c mtime=1.5"],
  },
  { name: "the root", entries: [tarEntry({ name: "./", type: "5" })], want: ["5 ./"] },
];
for (const { name, entries, want } of kept) {
  test(`LayerFilter: ${name}`, () => {
    assert.deepEqual(filter(entries).seen, want);
    assert.deepEqual(
      filter(entries, 100).seen.filter((line) => !line.startsWith("  ")),
      want.filter((line) => !line.startsWith("  ")),
    );
  });
}

const refused: { name: string; entries: Buffer[]; message: RegExp }[] = [
  { name: "a name that climbs", entries: [tarEntry({ name: "../../etc/passwd" })], message: /leads out of the layer/ },
  {
    name: "a name that climbs on its way",
    entries: [tarEntry({ name: "a/../../b" })],
    message: /leads out of the layer/,
  },
  {
    name: "a hard link that climbs",
    entries: [tarEntry({ name: "a", type: "1", linkname: "../x" })],
    message: /leads out/,
  },
  { name: "a whiteout of the parent", entries: [tarEntry({ name: "a/.wh..." })], message: /whiteout of no file/ },
  { name: "a whiteout of nothing", entries: [tarEntry({ name: "a/.wh." })], message: /whiteout of no file/ },
  {
    name: "a root that is a link",
    entries: [tarEntry({ name: "/", type: "2", linkname: "/etc" })],
    message: /root is not a directory/,
  },
  {
    name: "an unknown type",
    entries: [tarEntry({ name: "a", type: "Z" })],
    message: /type "Z", which is not supported/,
  },
  {
    name: "a directory in place of a link",
    entries: [tarEntry({ name: "a", type: "2", linkname: "/etc" }), tarEntry({ name: "a/", type: "5" })],
    message: /"a" twice/,
  },
  {
    name: "a link in place of a directory",
    entries: [tarEntry({ name: "a/b" }), tarEntry({ name: "a", type: "2", linkname: "/etc" })],
    message: /"a" twice/,
  },
  {
    name: "a link in place of another",
    entries: [tarEntry({ name: "a", type: "2", linkname: "/b" }), tarEntry({ name: "a", type: "2", linkname: "/c" })],
    message: /"a" twice/,
  },
  { name: "a name too long", entries: [tarEntry({ name: "a/".repeat(2048) })], message: /path of 4096 bytes/ },
  {
    name: "a link to a name too long",
    entries: [tarEntry({ name: "a", type: "2", linkname: "b".repeat(1_000_000) })],
    message: /path of 1000000 bytes: File name too long/,
  },
  {
    name: "a name that becomes too long through a link",
    entries: [
      tarEntry({ name: "a", type: "2", linkname: "b/".repeat(2000) }),
      tarEntry({ name: `a/${"c/".repeat(2000)}d` }),
    ],
    message: /path of 8001 bytes/,
  },
  {
    name: "links in a circle",
    entries: [
      tarEntry({ name: "a", type: "2", linkname: "b" }),
      tarEntry({ name: "b", type: "2", linkname: "a" }),
      tarEntry({ name: "a/x" }),
    ],
    message: /too many symbolic links/,
  },
];
for (const { name, entries, message } of refused) {
  test(`LayerFilter: refuses ${name}`, () => {
    assert.throws(() => filter(entries), { name: "LayerError", message });
  });
}

test("LayerFilter: whiteouts are taken out and remembered", () => {
  const { layer, seen } = filter([
    tarEntry({ name: "a/.wh.gone" }),
    tarEntry({ name: "b/.wh..wh..opq" }),
    tarEntry({ name: ".wh..wh.plnk/1.2" }, "aufs"),
    tarEntry({ name: "b/new" }),
  ]);
  assert.deepEqual(seen, ["0 b/new"]);
  assert.deepEqual([...layer.whiteouts], ["a/gone"]);
  assert.deepEqual([...layer.opaques], ["b"]);
  assert.deepEqual(layer.paths.implied, ["b"]);
});
