import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { belongsTo, createCA, readCertificate } from "@hawser/pki";
import { parse } from "yaml";
import { ensureCredentials } from "./credentials.ts";

async function dataDirectory() {
  const path = await mkdtemp(join(tmpdir(), "hawser-credentials-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}
const mode = async (path: string) => ((await stat(path)).mode & 0o777).toString(8);

test("the first start makes everything, with nobody else able to read the keys", async () => {
  await using dir = await dataDirectory();
  const made = await ensureCredentials({
    dataDir: dir.path,
    advertiseAddresses: ["192.168.205.10", "fd00::10", "master"],
    port: 6443,
  });
  const serving = readCertificate(made.serving.certPEM);
  for (const name of ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost", "master"]) {
    assert.ok(serving.dnsNames.includes(name), name);
  }
  for (const address of ["127.0.0.1", "192.168.205.10"]) assert.ok(serving.ipAddresses.includes(address), address);
  assert.deepEqual(serving.usages, ["server"]);
  const kubelet = readCertificate(made.kubeletClient.certPEM);
  assert.deepEqual([kubelet.commonName, kubelet.organizations], ["kube-apiserver-kubelet-client", ["system:masters"]]);
  assert.deepEqual(readCertificate(made.admin.certPEM).organizations, ["system:masters"]);
  assert.match(made.serviceAccountKey, /BEGIN PRIVATE KEY/);
  const pki = join(dir.path, "pki");
  assert.equal(await mode(pki), "700");
  const files = await readdir(pki);
  assert.equal(files.length, 9);
  for (const file of files.filter((name) => name.endsWith(".key")))
    assert.equal(await mode(join(pki, file)), "600", file);
  assert.equal(await mode(made.kubeconfigPath), "600");
});

test("the kubeconfig names the first address and holds what it needs", async () => {
  await using dir = await dataDirectory();
  const { admin, kubeconfigPath } = await ensureCredentials({
    dataDir: dir.path,
    advertiseAddresses: ["fd00::10"],
    port: 7443,
  });
  const config = parse(await readFile(kubeconfigPath, "utf8"));
  assert.equal(config.clusters[0].cluster.server, "https://[fd00::10]:7443");
  assert.equal(Buffer.from(config.users[0].user["client-key-data"], "base64").toString(), admin.keyPEM);
  assert.equal(config["current-context"], config.contexts[0].name);
});

test("what people have added to the kubeconfig stays while it still holds", async () => {
  await using dir = await dataDirectory();
  const options = { dataDir: dir.path, advertiseAddresses: ["10.0.0.1"], port: 6443 };
  const { kubeconfigPath } = await ensureCredentials(options);
  const text = await readFile(kubeconfigPath, "utf8");
  const edited = text.replace("user: admin\n", "user: admin\n      namespace: mine\n");
  assert.notEqual(edited, text);
  await writeFile(kubeconfigPath, edited);
  await ensureCredentials(options);
  assert.equal(await readFile(kubeconfigPath, "utf8"), edited);
  await ensureCredentials({ ...options, port: 7443 });
  assert.match(await readFile(kubeconfigPath, "utf8"), /https:\/\/10\.0\.0\.1:7443/);
});

test("a later start keeps it all; a new address changes only the serving certificate", async () => {
  await using dir = await dataDirectory();
  const options = { dataDir: dir.path, advertiseAddresses: ["10.0.0.1", "fd00::1"], port: 6443 };
  const first = await ensureCredentials(options);
  assert.deepEqual(await ensureCredentials(options), first);
  const moved = await ensureCredentials({ ...options, advertiseAddresses: ["10.0.0.2"] });
  assert.notEqual(moved.serving.certPEM, first.serving.certPEM);
  assert.deepEqual({ ...moved, serving: 0 }, { ...first, serving: 0 });
});

test("what expires soon, is broken, or is another CA's is made anew", async () => {
  await using dir = await dataDirectory();
  const options = { dataDir: dir.path, advertiseAddresses: ["10.0.0.1"], port: 6443 };
  const first = await ensureCredentials(options);
  const later = await ensureCredentials({ ...options, now: () => Date.now() + 340 * 24 * 3600_000 });
  assert.notEqual(later.admin.certPEM, first.admin.certPEM);
  assert.equal(later.ca.certPEM, first.ca.certPEM);
  await writeFile(join(dir.path, "pki", "admin.crt"), "broken");
  assert.ok(belongsTo((await ensureCredentials(options)).admin, first.ca.certPEM));
  const other = await createCA({ commonName: "hawser-ca" });
  await writeFile(join(dir.path, "pki", "ca.crt"), other.certPEM);
  await writeFile(join(dir.path, "pki", "ca.key"), other.keyPEM);
  assert.ok(belongsTo((await ensureCredentials(options)).serving, other.certPEM));
  await writeFile(join(dir.path, "pki", "ca.key"), first.ca.keyPEM);
  await assert.rejects(ensureCredentials(options), /is no CA certificate, or ca.key is not its key/);
  await writeFile(join(dir.path, "pki", "ca.key"), other.keyPEM);
  await assert.rejects(
    ensureCredentials({ ...options, now: () => Date.now() + 4000 * 24 * 3600_000 }),
    /CA expired at/,
  );
});
