// Every way to prove who we are, against Debian's genuine docker-registry: basic (htpasswd), and bearer tokens from a token
// server that the registry trusts, got by password, by identity token, or given. Needs root (overlayfs).
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createPrivateKey, randomUUID, sign, X509Certificate } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { createCA } from "@hawser/pki";
import { freePort, type Registry, startRegistry } from "@hawser/testing";
import type { AuthConfig } from "../../packages/runtime/src/images/registry/credentials.ts";
import { inPieces, ociArchive, testImage } from "../../packages/runtime/src/images/testing/image.ts";
import { httpServer, type TestServer } from "../../packages/runtime/src/images/testing/server.ts";
import { testStore } from "../../packages/runtime/src/images/testing/store.ts";
import { pushArchive } from "../../scripts/push-image.ts";

const run = promisify(execFile);
const image = testImage([]);
const basic = (text: string) => Buffer.from(text).toString("base64");

describe("a registry that asks for a password", () => {
  let folder: string;
  let registry: Registry;
  let reference: string;
  const stack = new AsyncDisposableStack();
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "hawser-auth-"));
    stack.defer(() => rm(folder, { recursive: true, force: true }));
    const { stdout: hash } = await run("perl", ["-e", "print crypt('secret', '$2y$05$abcdefghijklmnopqrstuu')"]);
    await writeFile(join(folder, "htpasswd"), `web:${hash}\n`);
    registry = stack.use(
      await startRegistry({ auth: { htpasswd: { realm: "test", path: join(folder, "htpasswd") } } }),
    );
    reference = `${registry.host}/private/app:1`;
    const credentials = { kind: "password", username: "web", password: "secret" } as const;
    await pushArchive({ archive: inPieces(ociArchive(image)), reference, credentials });
  });
  after(() => stack.disposeAsync());

  const pulls = async (auth: AuthConfig | undefined, config: Parameters<typeof testStore>[0] = {}) => {
    await using fixture = await testStore(config);
    assert.deepEqual(await fixture.store.pull({ reference, auth }), { id: image.id });
  };

  it("takes a name and a password", () => pulls({ username: "web", password: "secret" }));
  it("takes both in one", () => pulls({ auth: basic("web:secret") }));
  it("takes those that are said to be for it", () =>
    pulls({ username: "web", password: "secret", serverAddress: `http://${registry.host}/v2/` }));
  it("takes what the settings have for it", () =>
    pulls(undefined, { auth: { registries: { [registry.host]: { username: "web", password: "secret" } } } }));
  it("takes what docker's config file has for it", async () => {
    const dockerConfig = join(folder, "config.json");
    await writeFile(dockerConfig, JSON.stringify({ auths: { [registry.host]: { auth: basic("web:secret") } } }));
    await pulls(undefined, { auth: { dockerConfig } });
  });
  it("takes what a credential helper of docker's has for it", async () => {
    const helper = join(folder, "docker-credential-test");
    const answer = JSON.stringify({ ServerURL: registry.host, Username: "web", Secret: "secret" });
    await writeFile(helper, `#!/bin/sh\ncat >/dev/null; echo '${answer}'\n`, { mode: 0o755 });
    const dockerConfig = join(folder, "helper.json");
    await writeFile(dockerConfig, JSON.stringify({ credHelpers: { [registry.host]: "test" } }));
    const path = process.env.PATH;
    process.env.PATH = `${folder}:${path}`;
    try {
      await pulls(undefined, { auth: { dockerConfig } });
    } finally {
      process.env.PATH = path;
    }
  });

  for (const [name, auth] of [
    ["nothing", undefined],
    ["a wrong password", { username: "web", password: "wrong" }],
    ["what is for another registry", { username: "web", password: "secret", serverAddress: "other.example" }],
  ] as const) {
    it(`refuses ${name}`, async () => {
      await using fixture = await testStore();
      const message = /authorization failed|401 Unauthorized/;
      await assert.rejects(fixture.store.pull({ reference, auth }), { message });
      assert.deepEqual(fixture.store.list(), []);
    });
  }
});

describe("a registry that asks for a token", () => {
  const service = "test-registry";
  const issuer = "test-tokens";
  let folder: string;
  let tokens: TestServer & { asked: string[]; token(access: string): string };
  let registry: Registry;
  let reference: string;
  const stack = new AsyncDisposableStack();
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "hawser-auth-"));
    stack.defer(() => rm(folder, { recursive: true, force: true }));
    tokens = stack.use(await tokenServer());
    const port = await freePort();
    registry = stack.use(
      await startRegistry({
        port,
        auth: {
          token: { realm: `http://${tokens.address}/token`, service, issuer, rootcertbundle: join(folder, "ca.pem") },
        },
      }),
    );
    reference = `${registry.host}/private/app:1`;
    const credentials = { kind: "password", username: "web", password: "secret" } as const;
    await pushArchive({ archive: inPieces(ociArchive(image)), reference, credentials });
  });
  after(() => stack.disposeAsync());

  /** Gives a token that the registry takes, for the right password or refresh token. */
  async function tokenServer() {
    const { certPEM, keyPEM } = await createCA({ commonName: issuer });
    await writeFile(join(folder, "ca.pem"), certPEM);
    const x5c = [new X509Certificate(certPEM).raw.toString("base64")];
    const key = createPrivateKey(keyPEM);
    const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const token = (scope: string) => {
      const [type, name, actions = ""] = scope.split(":");
      const now = Math.floor(Date.now() / 1000);
      const access = [{ type, name, actions: actions.split(",") }];
      const claims = { iss: issuer, aud: service, sub: "web", iat: now, nbf: now - 10, exp: now + 300, access };
      const text = `${part({ typ: "JWT", alg: "ES256", x5c })}.${part({ ...claims, jti: randomUUID() })}`;
      const signature = sign("sha256", Buffer.from(text), { key, dsaEncoding: "ieee-p1363" });
      return `${text}.${signature.toString("base64url")}`;
    };
    const asked: string[] = [];
    const server = await httpServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const form = new URLSearchParams(Buffer.concat(chunks).toString());
        const query = new URL(request.url ?? "/", "http://x").searchParams;
        const byPassword =
          request.headers.authorization === `Basic ${basic("web:secret")}` ||
          (form.get("grant_type") === "password" &&
            form.get("username") === "web" &&
            form.get("password") === "secret");
        const byRefresh = form.get("grant_type") === "refresh_token" && form.get("refresh_token") === "identity";
        asked.push(byRefresh ? "identity" : byPassword ? "password" : "nobody");
        if (!byPassword && !byRefresh) {
          response.writeHead(401).end(JSON.stringify({ details: "who are you?" }));
          return;
        }
        const made = token(query.get("scope") ?? form.get("scope") ?? "");
        response.end(JSON.stringify({ token: made, access_token: made, expires_in: 300 }));
      });
    });
    return { ...server, asked, token };
  }

  const pulls = async (auth: AuthConfig) => {
    tokens.asked.length = 0;
    await using fixture = await testStore();
    assert.deepEqual(await fixture.store.pull({ reference, auth }), { id: image.id });
  };

  it("takes one got by name and password", async () => {
    await pulls({ username: "web", password: "secret" });
    assert.deepEqual([...new Set(tokens.asked)], ["password"]);
  });

  it("takes one got by an identity token", async () => {
    await pulls({ identityToken: "identity" });
    assert.deepEqual([...new Set(tokens.asked)], ["identity"]);
  });

  it("takes one that is given, without asking for another", async () => {
    await pulls({ registryToken: tokens.token("repository:private/app:pull") });
    assert.deepEqual(tokens.asked, []);
  });

  for (const [name, auth] of [
    ["nothing", undefined],
    ["a wrong password", { username: "web", password: "wrong" }],
    ["a token for another repository", { registryToken: "other" }],
  ] as const) {
    it(`refuses ${name}`, async () => {
      await using fixture = await testStore();
      const given = auth && "registryToken" in auth ? { registryToken: tokens.token("repository:other:pull") } : auth;
      const message = /authorization failed|401 Unauthorized|failed to fetch (anonymous|oauth) token/;
      await assert.rejects(fixture.store.pull({ reference, auth: given }), { message });
      assert.deepEqual(fixture.store.list(), []);
    });
  }
});
