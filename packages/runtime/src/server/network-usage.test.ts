import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, it } from "node:test";
import { networkCounters } from "./network-usage.ts";

const head = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
`;
const line = (name: string, first = 1) =>
  `${name.padStart(6)}: ${Array.from({ length: 16 }, (_, n) => first + n).join("    ")}\n`;

/** The names told of, from a file of these bytes. */
async function countersIn(text: string) {
  const proc = await mkdtemp(path.join(tmpdir(), "hawser-proc-"));
  try {
    await mkdir(path.join(proc, "7/net"), { recursive: true });
    await writeFile(path.join(proc, "7/net/dev"), text, "latin1");
    return await networkCounters(7, proc);
  } finally {
    await rm(proc, { recursive: true });
  }
}
const namesIn = async (text: string) => (await countersIn(text)).map(({ name }) => name);

describe("networkCounters", () => {
  it("has eth0 first, and no loopback", async () => {
    const [first, ...others] = await countersIn(head + line("net1", 50) + line("eth0"));
    assert.deepEqual(first, {
      name: "eth0",
      received: { bytes: 1n, packets: 2n, errors: 3n, dropped: 4n },
      sent: { bytes: 9n, packets: 10n, errors: 11n, dropped: 12n },
    });
    assert.deepEqual(
      others.map(({ name }) => name),
      ["net1"],
    );
    assert.deepEqual(await networkCounters(4_194_305), []);
  });

  it("has 64 of any number, with eth0 wherever it is, and half a line is none", async () => {
    const many = Array.from({ length: 500 }, (_, n) => line(`dummy${n}`)).join("");
    const names = await namesIn(head + many + line("eth0"));
    assert.deepEqual([names.length, names[0], names[1], names.at(-1)], [64, "eth0", "dummy0", "dummy62"]);
    const cut = head + line("eth0");
    assert.deepEqual(await namesIn(cut + line("net1").trimEnd()), ["eth0"]);
    const behind = Array.from({ length: 8000 }, (_, n) => line(`dummy${n}`)).join("") + line("eth0");
    assert.equal((await namesIn(head + behind)).length, 64, "no more is read than there is room for");
    assert.ok(!(await namesIn(head + behind)).includes("eth0"));
  });

  it("leaves out names that are not UTF-8, and what comes twice", async () => {
    const utf8 = (name: string) => Buffer.from(name).toString("latin1");
    const text = [
      line("eth0"),
      line("a\xff"),
      line("a\xfe"),
      line(utf8("ä1")),
      line(utf8("ä1")),
      line(utf8("\ufeffeth0")),
    ];
    assert.deepEqual(await namesIn(head + text.join("")), ["eth0", "ä1", "\ufeffeth0"]);
    assert.deepEqual(await namesIn(head + line(utf8("eth0\u3000")) + line("eth0")), ["eth0", "eth0\u3000"]);
  });
});
