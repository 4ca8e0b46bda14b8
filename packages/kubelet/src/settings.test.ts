import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import { readCommandLine } from "./flags.ts";
import { duration, readSettings } from "./settings.ts";

test("a KubeletConfiguration is read; what is unknown or unsupported is refused by name", () => {
  const settings = readSettings({
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    kind: "KubeletConfiguration",
    port: 10251,
    containerLogMaxSize: "1Mi",
    nodeStatusUpdateFrequency: "1m30s",
    authentication: { x509: { clientCAFile: "/ca" }, anonymous: { enabled: false }, webhook: { cacheTTL: "5s" } },
    clusterDNS: ["10.0.0.10"],
  });
  assert.deepEqual(settings, {
    port: 10251,
    containerLogMaxSize: 2 ** 20,
    nodeStatusUpdateFrequency: 90_000,
    clientCAFile: "/ca",
    webhookAuthenticatedTTL: 5000,
    clusterDNS: ["10.0.0.10"],
  });
  assert.throws(
    () => readSettings({ evictionHard: { "memory.available": "1Mi" } }),
    /"evictionHard.memory.available" is not known/,
  );
  assert.throws(() => readSettings({ authentication: { anonymous: { enabled: true } } }), /only false is supported/);
  assert.throws(() => readSettings({ port: "10250" }), /"port": is no whole number/);
  assert.throws(() => readSettings("x"), /not a mapping/);
});

test("durations", () => {
  assert.deepEqual(["500ms", "10s", "1h30m", "1.5s"].map(duration), [500, 10_000, 5_400_000, 1500]);
  for (const text of ["", "10", "10 s", "x10s"]) assert.throws(() => duration(text), /no duration/);
});

test("flags go before the file, the file before the defaults", async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), "hawser-flags-"));
  try {
    const file = path.join(folder, "kubelet.yaml");
    await writeFile(file, "port: 1\nmaxPods: 7\ntlsCertFile: /cert\n");
    const line = await readCommandLine([
      "--config",
      file,
      "--port",
      "2",
      "--node-name",
      "N1",
      "--node-labels",
      "a=b,c=d=e",
      "-v",
      "4",
    ]);
    assert.equal(line.settings.port, 2);
    assert.equal(line.settings.maxPods, 7);
    assert.equal(line.settings.nodeName, "n1");
    assert.deepEqual(line.settings.nodeLabels, { a: "b", c: "d=e" });
    assert.deepEqual(line.files, { tlsCertFile: "/cert" });
    assert.equal(line.verbosity, 4);
    await assert.rejects(readCommandLine(["--port", "x"]), /--port x: no number/);
    await assert.rejects(readCommandLine(["--nonsense"]), /nonsense/);
    await assert.rejects(readCommandLine(["--config", "/none"]), /--config \/none: ENOENT/);
    await assert.rejects(readCommandLine(["--config", "/dev/zero"]), /--config \/dev\/zero: is not a file/);
  } finally {
    await rm(folder, { recursive: true });
  }
});
