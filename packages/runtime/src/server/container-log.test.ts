import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { Code } from "@hawser/cri";
import { checkNewLog, logPathOf, prepareReopening, undoReopening } from "./container-log.ts";

describe("a container's log", () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "hawser-log-"));
  });
  after(() => rm(folder, { recursive: true }));

  it("has a path in its sandbox's directory, or beside it", () => {
    assert.equal(logPathOf("", "main.log"), "");
    assert.equal(logPathOf("/logs", ""), "");
    assert.equal(logPathOf("/logs/pod", "main/0.log"), "/logs/pod/main/0.log");
    assert.equal(logPathOf("/logs/pod", "../other/0.log"), "/logs/other/0.log");
    assert.equal(logPathOf("/logs", "x".repeat(251)).length, 257);
  });

  it("has none that no file can have", () => {
    const never = [
      ".",
      "..",
      "../..",
      "../pod",
      "main/",
      "a:b",
      "x".repeat(252),
      `${"x".repeat(256)}/a`,
      "a/".repeat(3000),
    ];
    for (const logPath of never) {
      assert.throws(
        () => logPathOf("/logs/pod", logPath),
        { code: Code.InvalidArgument, message: /^log path / },
        logPath,
      );
    }
  });

  it("is no directory and no FIFO", async () => {
    const fifo = path.join(folder, "fifo");
    execFileSync("mkfifo", [fifo]);
    for (const file of [folder, fifo]) await assert.rejects(checkNewLog(file), { code: Code.InvalidArgument });
    await checkNewLog(path.join(folder, "none"));
    await checkNewLog("/dev/null");
  });

  it("is reopened where conmon can make it, and not elsewhere", async () => {
    const place = path.join(folder, "places");
    await mkdir(place);
    await prepareReopening(path.join(place, "new"));
    assert.deepEqual(await readdir(place), ["new.tmp"]);
    await undoReopening(path.join(place, "new"));
    await writeFile(path.join(place, "file"), "");
    await mkdir(path.join(place, "directory"));
    execFileSync("mkfifo", [path.join(place, "fifo"), path.join(place, "b.tmp")]);
    await symlink("/etc/passwd", path.join(place, "c.tmp"));
    for (const name of ["none/a", "file/a", "directory", "fifo", "b", "c", "x".repeat(252)]) {
      const refused = prepareReopening(path.join(place, name));
      await assert.rejects(refused, { code: Code.FailedPrecondition, message: /^cannot reopen the log ".*": / }, name);
    }
    assert.deepEqual((await readdir(place)).sort(), ["b.tmp", "c.tmp", "directory", "fifo", "file"]);
  });
});
