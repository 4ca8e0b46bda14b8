import assert from "node:assert/strict";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Arrival } from "../arrival.ts";
import { digestOf } from "../digest.ts";
import type { Repository } from "./client.ts";
import { downloadBlob } from "./download.ts";

test("downloadBlob: what the file did not take is not gone on behind, whatever the error", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "hawser-download-"));
  t.after(() => rm(directory, { recursive: true }));
  const handle = await open(directory);
  t.mock.method(Object.getPrototypeOf(handle), "write", () => {
    throw Object.assign(new Error("ENOMEM: not enough memory, write"), { code: "ENOMEM" });
  });
  await handle.close();
  const content = Buffer.from("content");
  let asked = 0;
  const repository = {
    async blob() {
      asked++;
      const body = (async function* () {
        yield content;
      })();
      return { status: 200, headers: {}, body };
    },
  } as unknown as Repository; // nothing else is asked of it
  const arrival = new Arrival(join(directory, "blob"));
  const descriptor = { digest: digestOf(content), size: content.length, mediaType: "", annotations: {} };
  const download = downloadBlob({ repository, arrival, kind: "layer" }, descriptor, new AbortController().signal);
  await assert.rejects(download, /ENOMEM/);
  assert.deepEqual([asked, arrival.size], [1, 0]);
});
