import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { DgramSocket } from "node-unix-socket";
import { notify } from "./notify.ts";

test("the service manager gets the datagram; where there is none, nothing is sent; one that is gone is an error", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "hawser-notify-"));
  const manager = new DgramSocket();
  try {
    const got = new Promise<string>((resolve) => manager.on("data", (bytes: Buffer) => resolve(bytes.toString())));
    manager.bind(path.join(folder, "n"));
    await notify("READY=1", path.join(folder, "n"));
    assert.equal(await got, "READY=1\n");
    await notify("READY=1", "");
    await assert.rejects(notify("READY=1", path.join(folder, "none")), /cannot notify .*none/);
  } finally {
    manager.close();
    await rm(folder, { recursive: true });
  }
});
