import assert from "node:assert/strict";
import { test } from "node:test";
import { TarDecoder } from "./decoder.ts";
import { buildHeader, parseHeader, patchHeader, type TarHeader } from "./header.ts";
import { formatPax, parsePax } from "./pax.ts";
import { endOfArchive, tarArchive, tarEntry } from "./writer.ts";

type Seen = { name: string; type: string; linkname: string; content: string; pax: string[] };

function decode(bytes: Buffer, step = bytes.length): Seen[] {
  const decoder = new TarDecoder();
  const seen: Seen[] = [];
  for (let at = 0; at < bytes.length; at += step) {
    for (const event of decoder.push(bytes.subarray(at, at + step))) {
      if (event.type === "entry") {
        const { name, type, linkname } = event.entry.header;
        seen.push({ name, type, linkname, content: "", pax: event.entry.pax.map(([key, value]) => `${key}=${value}`) });
      } else {
        const last = seen.at(-1);
        if (last) last.content += event.bytes.toString("latin1");
      }
    }
  }
  decoder.finish();
  return seen;
}

const long = `${"d".repeat(60)}/${"f".repeat(60)}`;
const plain = { type: "0", linkname: "", content: "", pax: [] };
const cases: { name: string; archive: Buffer; want: Seen[] }[] = [
  { name: "an empty archive", archive: tarArchive([]), want: [] },
  {
    name: "an archive without its end",
    archive: tarEntry({ name: "a" }, "x"),
    want: [{ ...plain, name: "a", content: "x" }],
  },
  {
    name: "files, the second as long as a block",
    archive: tarArchive([tarEntry({ name: "a" }, "1"), tarEntry({ name: "b" }, "x".repeat(512))]),
    want: [
      { ...plain, name: "a", content: "1" },
      { ...plain, name: "b", content: "x".repeat(512) },
    ],
  },
  {
    name: "a name in a pax record, and its other records",
    archive: tarArchive([tarEntry({ name: long }, "", [["SCHILY.xattr.user.a", "b\nc=d"]])]),
    want: [{ ...plain, name: long, pax: ["SCHILY.xattr.user.a=b\nc=d"] }],
  },
  {
    name: "GNU's long name and long link",
    archive: tarArchive([
      tarEntry({ name: "././@LongLink", type: "L" }, `${long}\0`),
      tarEntry({ name: "././@LongLink", type: "K" }, `/${long}\0`),
      tarEntry({ name: "cut", type: "2", linkname: "cut" }),
    ]),
    want: [{ ...plain, type: "2", name: long, linkname: `/${long}` }],
  },
  {
    name: "a global header, which is dropped",
    archive: tarArchive([tarEntry({ name: "g", type: "g" }, "13 path=evil\n"), tarEntry({ name: "a" })]),
    want: [{ ...plain, name: "a" }],
  },
  {
    name: "an old directory, told by its slash",
    archive: tarArchive([tarEntry({ name: "d/", type: "\0" })]),
    want: [{ ...plain, name: "d/", type: "5" }],
  },
  {
    name: "what follows the end",
    archive: Buffer.concat([tarArchive([tarEntry({ name: "a" })]), Buffer.from("rubbish")]),
    want: [{ ...plain, name: "a" }],
  },
];

for (const { name, archive, want } of cases) {
  test(`TarDecoder: ${name}`, () => {
    assert.deepEqual(decode(archive), want);
    assert.deepEqual(decode(archive, 1), want, "split at every byte");
    assert.deepEqual(decode(archive, 511), want, "split unevenly");
  });
}

test("TarDecoder: a name in the ustar prefix", () => {
  const block = buildHeader(header({ name: "file" }));
  block.write("some/folder", 345);
  assert.equal(decode(Buffer.concat([sealed(block), endOfArchive]))[0]?.name, "some/folder/file");
});

test("TarDecoder: a size field of a link is not believed", () => {
  const block = buildHeader({ ...header({ name: "l", type: "2", linkname: "x" }), size: 512 });
  const archive = Buffer.concat([block, tarEntry({ name: "next" }), endOfArchive]);
  assert.deepEqual(
    decode(archive).map(({ name }) => name),
    ["l", "next"],
  );
});

const wrong: { name: string; archive: Buffer; message: RegExp }[] = [
  { name: "a wrong checksum", archive: Buffer.alloc(512, 0x41), message: /checksum/ },
  { name: "an archive cut in a header", archive: tarEntry({ name: "a" }).subarray(0, 100), message: /unexpected EOF/ },
  {
    name: "an archive cut in content",
    archive: tarEntry({ name: "a" }, "abc").subarray(0, 514),
    message: /unexpected EOF/,
  },
  { name: "a malformed pax record", archive: tarEntry({ name: "x", type: "x" }, "99 path=a\n"), message: /pax record/ },
  {
    name: "a pax header without its entry",
    archive: tarArchive([tarEntry({ name: "x", type: "x" }, "10 path=a\n")]),
    message: /unexpected EOF/,
  },
  {
    name: "a huge pax header",
    archive: sealed(buildHeader({ ...header({ name: "x", type: "x" }), size: 1 << 30 })),
    message: /longer than 1 MiB/,
  },
];
for (const { name, archive, message } of wrong) {
  test(`TarDecoder: ${name} is an error`, () => {
    assert.throws(() => decode(archive), { name: "TarError", message });
  });
}

test("headers: numbers too large for octal digits come back whole", () => {
  const large = header({ name: "a", size: 2 ** 40, uid: 2 ** 30, mtime: 1_700_000_000 });
  assert.deepEqual(parseHeader(buildHeader(large)), large);
});

test("headers: a patched one keeps its other fields", () => {
  const original = header({ name: "a", uid: 7, gid: 8, mode: 0o4711, devmajor: 3 });
  const patched = patchHeader(buildHeader(original), { name: "b", linkname: "", size: 5, type: "0" });
  assert.deepEqual(parseHeader(patched), { ...original, name: "b", size: 5 });
});

test("pax: lengths count themselves", () => {
  for (const length of [1, 5, 90, 91, 92, 93, 94, 95, 990, 991, 992, 993]) {
    const records = [["k", "v".repeat(length)]] as const;
    assert.deepEqual(parsePax(formatPax(records)), records);
  }
});

function header(some: Partial<TarHeader>): TarHeader {
  const none = {
    name: "",
    type: "0",
    linkname: "",
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: 0,
    mtime: 0,
    devmajor: 0,
    devminor: 0,
  };
  return { ...none, ...some };
}

/** With its checksum set right, after a test has changed it. */
function sealed(block: Buffer): Buffer {
  block.fill(" ", 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}
