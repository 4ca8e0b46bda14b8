import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { createLogger } from "@hawser/trace";
import { ConfDir } from "./conf-dir.ts";

test("ConfDir: the first file by name, as it is now; one that cannot be read leaves the former, one that goes does not", async (t) => {
  const directory = await mkdtemp(path.join(tmpdir(), "hawser-net.d-"));
  t.after(() => rm(directory, { recursive: true }));
  const lines: string[] = [];
  const log = createLogger({ name: "network", sink: { write: (line) => lines.push(line) } });
  const confDir = new ConfDir({ path: directory, log });
  const put = (name: string, text: string) => writeFile(path.join(directory, name), text);
  const single = (type: string) => JSON.stringify({ name: "n", cniVersion: "0.4.0", type });
  const types = async () => (await confDir.read()).list.plugins.map(({ type }) => type);
  const none = { name: "CNIError", message: `cni plugin not initialized: no network config found in ${directory}` };

  await assert.rejects(confDir.read(), none);
  await mkdir(path.join(directory, "00.conf"));
  await put("05-x.conf.swp", single("swap"));
  await assert.rejects(confDir.read(), none);
  await put("20-b.json", single("b"));
  assert.deepEqual(await types(), ["b"]);
  const { list } = await confDir.read();
  assert.equal((await confDir.read()).list, list, "one object while it is unchanged: pods' records share it");
  await put("10-a.conflist", JSON.stringify({ name: "n", plugins: [{ type: "a" }] }));
  assert.deepEqual(await types(), ["a"]);
  await mkdir(path.join(directory, "n"));
  for (const type of ["y", "x"]) await put(`n/${type}.conf`, JSON.stringify({ type }));
  assert.deepEqual(await types(), ["a", "x", "y"], "with those of a directory of the network's name");

  execFileSync("mkfifo", [path.join(directory, "05-pipe.conf")]);
  for (const _time of [1, 2]) assert.deepEqual(await types(), ["a", "x", "y"]);
  assert.equal(confDir.failure, `${directory}/05-pipe.conf: is not a file`);
  assert.equal(lines.filter((line) => line.includes("is not a file")).length, 1, "told once");
  await rm(path.join(directory, "05-pipe.conf"));
  assert.deepEqual(await types(), ["a", "x", "y"]);
  assert.equal(confDir.failure, "");

  for (const name of ["10-a.conflist", "20-b.json"]) await rm(path.join(directory, name));
  await assert.rejects(confDir.read(), none);
  await put("10-a.conflist", "{");
  await assert.rejects(confDir.read(), { message: /not initialized: .*10-a\.conflist: .*JSON/ });
});
