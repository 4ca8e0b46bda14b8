import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { defaultKubeconfig, mergeKubeconfig, unmergeKubeconfig } from "./kubeconfig.ts";

function admin(ca: string): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "c", cluster: { server: "https://127.0.0.1:6443", "certificate-authority-data": ca } }],
    users: [{ name: "u", user: { "client-certificate-data": "AA==", "client-key-data": "AA==" } }],
    contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
    "current-context": "x",
  });
}

const theirs = `# mine, by hand
apiVersion: v1
kind: Config
clusters:
- name: work # the one that pays
  cluster: {server: https://work.example}
contexts:
- name: work
  context: {cluster: work, user: me}
users: []
current-context: work
preferences: {}
`;

async function folder(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), "hawser-kubeconfig-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}

test("mergeKubeconfig: adds context hawser, keeps the rest with its comments, mode 0600", async () => {
  await using dir = await folder();
  const [source, target] = [join(dir.path, "kubeconfig"), join(dir.path, "config")];
  await writeFile(source, admin("Q0E="));
  await writeFile(target, theirs, { mode: 0o644 });
  const merged = await mergeKubeconfig(source, target);
  assert.deepEqual(merged, { path: target, previousContext: "work" });
  const text = await readFile(target, "utf8");
  assert.match(text, /^# mine, by hand/);
  assert.match(text, /# the one that pays/);
  const config = parse(text);
  assert.equal(config["current-context"], "hawser");
  assert.deepEqual(
    config.contexts.map(({ name }: { name: string }) => name),
    ["work", "hawser"],
  );
  assert.deepEqual(config.contexts[1].context, { cluster: "hawser", user: "hawser" });
  assert.equal((await stat(target)).mode & 0o777, 0o600);
});

test("unmergeKubeconfig: gives the file back as it was read", async () => {
  await using dir = await folder();
  const [source, target] = [join(dir.path, "kubeconfig"), join(dir.path, "config")];
  await writeFile(source, admin("Q0E="));
  await writeFile(target, theirs);
  await unmergeKubeconfig(source, await mergeKubeconfig(source, target));
  assert.deepEqual(parse(await readFile(target, "utf8")), parse(theirs));
});

test("mergeKubeconfig: twice is once", async () => {
  await using dir = await folder();
  const [source, target] = [join(dir.path, "kubeconfig"), join(dir.path, "config")];
  await writeFile(source, admin("Q0E="));
  await mergeKubeconfig(source, target);
  await mergeKubeconfig(source, target);
  const config = parse(await readFile(target, "utf8"));
  assert.equal(config.clusters.length, 1);
  assert.equal(config.contexts.length, 1);
  assert.equal(config.users.length, 1);
});

test("unmergeKubeconfig: leaves another cluster's entry of the same name alone", async () => {
  await using dir = await folder();
  const [first, second, target] = ["a", "b", "config"].map((name) => join(dir.path, name));
  assert.ok(first && second && target);
  await writeFile(first, admin("Rmlyc3Q="));
  await writeFile(second, admin("U2Vjb25k"));
  const merged = await mergeKubeconfig(first, target);
  await mergeKubeconfig(second, target);
  const before = await readFile(target, "utf8");
  await unmergeKubeconfig(first, merged);
  assert.equal(await readFile(target, "utf8"), before);
});

test("mergeKubeconfig: writes through a symbolic link and leaves it one", async () => {
  await using dir = await folder();
  const [source, target, link] = ["kubeconfig", "real", "link"].map((name) => join(dir.path, name));
  assert.ok(source && target && link);
  await writeFile(source, admin("Q0E="));
  await writeFile(target, theirs);
  await symlink(target, link);
  await mergeKubeconfig(source, link);
  assert.match(await readFile(target, "utf8"), /name: hawser/);
});

for (const [name, text] of [
  ["not YAML", "a: [1"],
  ["a list", "- 1"],
] as const) {
  test(`mergeKubeconfig: refuses a target that is ${name}, and leaves it`, async () => {
    await using dir = await folder();
    const [source, target] = [join(dir.path, "kubeconfig"), join(dir.path, "config")];
    await writeFile(source, admin("Q0E="));
    await writeFile(target, text);
    await assert.rejects(mergeKubeconfig(source, target), /config is not/);
    assert.equal(await readFile(target, "utf8"), text);
  });
}

test("defaultKubeconfig: the first of $KUBECONFIG, else below HOME", () => {
  assert.equal(defaultKubeconfig({ KUBECONFIG: ":/a:/b" }), "/a");
  assert.equal(defaultKubeconfig({ KUBECONFIG: "", HOME: "/home/x" }), "/home/x/.kube/config");
});

test("unmergeKubeconfig: a file as kubectl writes it is what it was, byte by byte", async () => {
  await using dir = await folder();
  const [source, target] = [join(dir.path, "kubeconfig"), join(dir.path, "config")];
  await writeFile(source, admin("Q0E="));
  const entry = (name: string, rest: string) => `- ${rest}\n  name: ${name}\n`;
  const byKubectl = [
    "apiVersion: v1\nclusters:\n",
    entry("a", "cluster:\n    server: https://a.example"),
    "contexts:\n",
    entry("a", "context:\n    cluster: a\n    user: a"),
    "current-context: a\nkind: Config\npreferences: {}\nusers:\n",
    entry("a", "user:\n    exec:\n      args:\n      - get-token\n      command: x"),
  ].join("");
  const indented = byKubectl.replaceAll(/^(?=[- ])/gm, "  ").replace("- get-token", "  - get-token");
  for (const text of [byKubectl, indented]) {
    await writeFile(target, text);
    await unmergeKubeconfig(source, await mergeKubeconfig(source, target));
    assert.equal(await readFile(target, "utf8"), text);
  }
});
