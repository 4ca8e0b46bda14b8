import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { describe, it } from "node:test";
import { createClient } from "../client.ts";
import { authority } from "../testing/certificates.ts";
import { answerJSON, fakeServer } from "../testing/fake-server.ts";
import { inClusterConfig } from "./in-cluster.ts";
import { type LoadOptions, loadKubeconfig } from "./kubeconfig.ts";

async function folder(files: Record<string, string>): Promise<{ path: (name: string) => string } & AsyncDisposable> {
  const root = await mkdtemp(join(tmpdir(), "hawser-client-"));
  for (const [name, text] of Object.entries(files)) {
    await mkdir(join(root, name, ".."), { recursive: true });
    await writeFile(join(root, name), text, { mode: 0o700 });
  }
  return {
    path: (name) => join(root, name),
    [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }),
  };
}

const one = (cluster: string, user: string) => `
apiVersion: v1
kind: Config
current-context: main
contexts:
- name: main
  context: {cluster: c, user: u, namespace: apps}
- name: other
  context: {cluster: c, user: u}
clusters:
- name: c
  cluster: ${cluster}
users:
- name: u
  user: ${user}
`;
const server = `{server: 'https://192.0.2.1:6443', certificate-authority-data: ${Buffer.from(authority).toString("base64")}}`;

const load = (path: string, options: LoadOptions = {}) => loadKubeconfig({ path, env: {}, ...options });

describe("loadKubeconfig", () => {
  it("reads server, namespace, authority and client certificate, data before files", async () => {
    const user = "{client-certificate: pki/u.crt, client-key: pki/u.key, client-certificate-data: ZGF0YQ==}";
    await using dir = await folder({ config: one(server, user), "pki/u.crt": "not read", "pki/u.key": "the key" });
    const config = await load(dir.path("config"));
    assert.equal(config.server.href, "https://192.0.2.1:6443/");
    assert.equal(config.namespace, "apps");
    assert.deepEqual(config.tls, { ca: authority, cert: "data", key: "the key" });
    assert.deepEqual(await config.headers(), {});
    assert.deepEqual([config.user, config.context, config.cluster], ["u", "main", "c"]);
  });

  it("takes a certificate's address for tls-server-name, too", async () => {
    await using server = await fakeServer((_, response) => answerJSON(response, { items: [] }));
    const cluster = `{server: '${server.config.server}', certificate-authority-data: ${Buffer.from(authority).toString("base64")}}`;
    await using dir = await folder({ config: one(cluster, "{}") });
    const listAs = async (tlsServerName: string) => {
      await using client = createClient(await load(dir.path("config"), { tlsServerName }));
      await client.list({ resource: "pods" });
    };
    await listAs("127.0.0.1");
    await assert.rejects(listAs("192.0.2.7"), { message: /x509: certificate is valid for .*, not 192\.0\.2\.7/ });
  });

  it("merges KUBECONFIG's list: what the first file sets stays, and a missing file is none", async () => {
    await using dir = await folder({
      a: "current-context: two\ncontexts: [{name: main, context: {cluster: c, user: mine, namespace: first}}]\nusers: [{name: mine, user: {token: t1}}]",
      b: `${one(server, "{token: t2}")}- name: extra\n  user: {token: t3}\n`,
      c: "contexts: [{name: two, context: {cluster: c, user: extra}}]",
    });
    const env = { KUBECONFIG: ["a", "missing", "b", "c"].map(dir.path).join(delimiter) };
    const main = await loadKubeconfig({ env, context: "main" });
    assert.equal(main.namespace, "first");
    assert.deepEqual(await main.headers(), { Authorization: "Bearer t1" });
    const current = await loadKubeconfig({ env });
    assert.deepEqual(await current.headers(), { Authorization: "Bearer t3" });
  });

  it("lets flags have the last word", async () => {
    await using dir = await folder({ config: one(server, "{username: u, password: 'p:w'}") });
    const plain = await load(dir.path("config"));
    assert.deepEqual(await plain.headers(), { Authorization: `Basic ${Buffer.from("u:p:w").toString("base64")}` });
    const flags = await load(dir.path("config"), {
      context: "other",
      namespace: "n",
      server: "https://h:1/prefix",
      token: "t",
      insecureSkipTLSVerify: true,
      tlsServerName: "name",
      as: "someone",
    });
    assert.equal(flags.server.href, "https://h:1/prefix");
    assert.equal(flags.namespace, "n");
    assert.deepEqual(flags.tls, { rejectUnauthorized: false, servername: "name" });
    assert.deepEqual(await flags.headers(), { Authorization: "Bearer t", "Impersonate-User": "someone" });
  });

  it("impersonates: user, uid, several groups, extra fields", async () => {
    const user = "{token: t, as: jane, as-uid: u1, as-groups: [a, b], as-user-extra: {Example.com/Scopes: [x, y]}}";
    await using dir = await folder({ config: one(server, user) });
    const config = await load(dir.path("config"));
    assert.deepEqual(await config.headers(), {
      Authorization: "Bearer t",
      "Impersonate-User": "jane",
      "Impersonate-Uid": "u1",
      "Impersonate-Group": ["a", "b"],
      "Impersonate-Extra-example.com%2Fscopes": ["x", "y"],
    });
    const flags = await load(dir.path("config"), { as: "joe", asGroups: ["c"], asUID: "u2" });
    assert.deepEqual((await flags.headers())["Impersonate-Group"], ["c"]);
  });

  it("takes the cluster's proxy, else the environment's", async () => {
    const named = "{server: 'https://h', proxy-url: 'socks5://p:1080'}";
    await using dir = await folder({ config: one(named, "{}"), other: one("{server: 'https://h'}", "{}") });
    const env = { HTTPS_PROXY: "http://e:1" };
    assert.equal((await load(dir.path("config"), { env })).proxy?.href, "socks5://p:1080");
    assert.equal((await load(dir.path("other"), { env })).proxy?.href, "http://e:1/");
    assert.equal((await load(dir.path("other"), { env: { ...env, NO_PROXY: "h" } })).proxy, undefined);
  });

  it("resolves each file's paths against its own folder", async () => {
    const ca = authority;
    await using dir = await folder({
      "one/config": `clusters: [{name: c, cluster: {server: 'https://h', certificate-authority: ca.crt}}]\n`,
      "one/ca.crt": ca,
      "two/deep/config": `current-context: x
contexts: [{name: x, context: {cluster: c, user: u}}]
users: [{name: u, user: {client-certificate: ../u.crt, client-key: ../u.key}}]
`,
      "two/u.crt": "cert",
      "two/u.key": "key",
    });
    const env = { KUBECONFIG: ["one/config", "two/deep/config"].map(dir.path).join(delimiter) };
    assert.deepEqual((await loadKubeconfig({ env })).tls, { ca, cert: "cert", key: "key" });
  });

  it("reads a token file again when its token was refused", async () => {
    await using dir = await folder({ config: one(server, "{tokenFile: token, token: older}"), token: "t1\n" });
    const config = await load(dir.path("config"));
    assert.deepEqual(await config.headers(), { Authorization: "Bearer t1" });
    await writeFile(dir.path("token"), "t2\n");
    assert.deepEqual(await config.headers(), { Authorization: "Bearer t1" });
    assert.deepEqual(await config.headers({ stale: true }), { Authorization: "Bearer t2" });
  });

  it("runs a credential plugin once, takes its certificate, and runs it again when refused", async () => {
    const plugin = `#!/bin/sh
echo run >> "$(dirname "$0")/runs"
n=$(wc -l < "$(dirname "$0")/runs" | tr -d ' ')
echo '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{"token":"'$GREETING-$1-$n'","clientCertificateData":"C","clientKeyData":"K"}}'
`;
    const user =
      "{exec: {apiVersion: client.authentication.k8s.io/v1, command: ./plugin, args: [x], env: [{name: GREETING, value: hi}], interactiveMode: Never}}";
    await using dir = await folder({ config: one(server, user), plugin });
    const config = await load(dir.path("config"));
    assert.equal(config.tls.cert, undefined);
    const [first, again] = await Promise.all([config.headers(), config.headers()]);
    assert.deepEqual(first, { Authorization: "Bearer hi-x-1" });
    assert.deepEqual(again, first);
    assert.deepEqual([config.tls.cert, config.tls.key], ["C", "K"]);
    assert.deepEqual(await config.headers({ stale: true }), { Authorization: "Bearer hi-x-2" });
  });

  it("lets a caller go that gives up on a credential plugin, and answers the others", async () => {
    const plugin = `#!/bin/sh
until [ -e "$(dirname "$0")/go" ]; do sleep 0.01; done
echo '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{"token":"t"}}'
`;
    const user = "{exec: {apiVersion: client.authentication.k8s.io/v1, command: ./plugin, interactiveMode: Never}}";
    await using dir = await folder({ config: one(server, user), plugin });
    const config = await load(dir.path("config"));
    const abort = new AbortController();
    const impatient = config.headers({ signal: abort.signal });
    const patient = config.headers();
    abort.abort(new Error("enough"));
    await assert.rejects(impatient, { message: "enough" });
    await writeFile(dir.path("go"), "");
    assert.deepEqual(await patient, { Authorization: "Bearer t" });
  });

  const badPlugins: { name: string; user: string; want: RegExp }[] = [
    {
      name: "that is not there",
      user: "{exec: {apiVersion: client.authentication.k8s.io/v1, command: /no/such, installHint: Install it., interactiveMode: Never}}",
      want: /^getting credentials: exec: executable \/no\/such not found\n\nInstall it\.$/,
    },
    {
      name: "that fails",
      user: "{exec: {apiVersion: client.authentication.k8s.io/v1, command: 'false', interactiveMode: Never}}",
      want: /executable false failed with exit code 1$/,
    },
    {
      name: "that answers nonsense",
      user: "{exec: {apiVersion: client.authentication.k8s.io/v1, command: echo, args: [x], interactiveMode: Never}}",
      want: /not JSON/,
    },
    {
      name: "of an unknown version",
      user: "{exec: {apiVersion: client.authentication.k8s.io/v9, command: echo, interactiveMode: Never}}",
      want: /invalid apiVersion/,
    },
  ];
  for (const { name, user, want } of badPlugins) {
    it(`says what is wrong with a plugin ${name}`, async () => {
      await using dir = await folder({ config: one(server, user) });
      const config = await load(dir.path("config"));
      await assert.rejects(config.headers(), { name: "CredentialError", message: want });
    });
  }

  const bad: { name: string; text: string; options?: LoadOptions; want: string | RegExp }[] = [
    {
      name: "an unknown context",
      text: one(server, "{}"),
      options: { context: "x" },
      want: "context was not found for specified context: x",
    },
    { name: "broken YAML", text: "a: [", want: /^error loading config file ".*": yaml: / },
    { name: "a list", text: "- a", want: /is not a mapping$/ },
    { name: "another kind", text: "kind: Pod", want: /no kind "Pod" is registered$/ },
    {
      name: "a proxy of another kind",
      text: one("{server: 'https://h', proxy-url: 'ftp://p'}", "{}"),
      want: `invalid configuration: invalid 'proxy-url' "ftp://p" for cluster "c": unsupported scheme "ftp", must be http, https, or socks5`,
    },
    {
      name: "a number where a string belongs",
      text: one(server, "{token: 123}"),
      want: /^error loading config file ".*": user "u": token is not a string$/,
    },
    {
      name: "data that is not base64",
      text: one("{server: 'https://h', certificate-authority-data: '/no/file.crt'}", "{}"),
      want: /cluster "c": certificate-authority-data is not base64$/,
    },
    {
      name: "an exec plugin's arguments that are no list",
      text: one(server, "{exec: {apiVersion: client.authentication.k8s.io/v1, command: x, args: y}}"),
      want: /user "u": exec\.args is not a list of strings$/,
    },
    {
      name: "an exec plugin without a command",
      text: one(server, "{exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never}}"),
      want: "invalid configuration: command must be specified for u to use exec authentication plugin",
    },
    {
      name: "an exec plugin of v1 without its interactiveMode",
      text: one(server, "{exec: {apiVersion: client.authentication.k8s.io/v1, command: x}}"),
      want: "invalid configuration: interactiveMode must be specified for u to use exec authentication plugin",
    },
    {
      name: "an unknown interactiveMode",
      text: one(server, "{exec: {apiVersion: client.authentication.k8s.io/v1, command: x, interactiveMode: Maybe}}"),
      want: 'invalid configuration: invalid interactiveMode for u: "Maybe"',
    },
    {
      name: "two methods at once",
      text: one(server, "{token: t, username: n, password: p}"),
      want: "invalid configuration: more than one authentication method found for u; found [token basicAuth], only one is allowed",
    },
    {
      name: "groups without a user to be",
      text: one(server, "{as-groups: [a]}"),
      want: "invalid configuration: requesting uid, groups or user-extra for u without impersonating a user",
    },
    {
      name: "auth-provider",
      text: one(server, "{auth-provider: {name: gcp}}"),
      want: /^auth-provider credentials are not supported: give user "u" of the kubeconfig an exec plugin /,
    },
    {
      name: "a certificate without a key",
      text: one(server, "{client-certificate-data: QQ==}"),
      want: /client-key must be specified/,
    },
    {
      name: "a missing authority",
      text: one("{server: 'https://h', certificate-authority: no/such}", "{}"),
      want: /^unable to read certificate-authority .* for c due to open .*: no such file or directory$/,
    },
    {
      name: "trust and distrust at once",
      text: one("{server: 'https://h', certificate-authority-data: QQ==, insecure-skip-tls-verify: true}", "{}"),
      want: /with the insecure flag is not allowed$/,
    },
    { name: "a scheme nobody speaks", text: one("{server: 'ftp://h'}", "{}"), want: /scheme ftp is not supported$/ },
  ];
  for (const { name, text, options, want } of bad) {
    it(`refuses ${name}`, async () => {
      await using dir = await folder({ config: text });
      await assert.rejects(load(dir.path("config"), options), { name: "KubeconfigError", message: want });
    });
  }

  it("refuses a file that is not there, when it was named", async () => {
    await assert.rejects(load("/no/such/file"), { message: "stat /no/such/file: no such file or directory" });
  });

  it("without any kubeconfig means localhost:8080, as kubectl does", async () => {
    const config = await loadKubeconfig({ env: { HOME: "/no/such/home" } });
    assert.equal(config.server.href, "http://localhost:8080/");
    assert.equal(config.namespace, "default");
  });
});

it("inClusterConfig takes the service account's files", async () => {
  await using dir = await folder({ token: "secret", "ca.crt": "CA", namespace: "mine\n" });
  const env = { KUBERNETES_SERVICE_HOST: "fd00::1", KUBERNETES_SERVICE_PORT: "443" };
  const config = await inClusterConfig(env, { serviceAccount: dir.path(".") });
  assert.equal(config?.server.href, "https://[fd00::1]/");
  assert.equal(config?.namespace, "mine");
  assert.deepEqual(await config?.headers(), { Authorization: "Bearer secret" });
  assert.equal(await inClusterConfig({}), undefined);
});
