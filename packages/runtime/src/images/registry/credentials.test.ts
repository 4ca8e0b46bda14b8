import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { credentialsOf, dockerCredentials } from "./credentials.ts";
import { hostsFor } from "./hosts.ts";

const base64 = (text: string) => Buffer.from(text).toString("base64");

const cases: [name: string, auth: Parameters<typeof credentialsOf>[0], want: unknown][] = [
  ["nothing", undefined, undefined],
  ["empty strings, as in a protobuf message", { username: "", password: "", auth: "", serverAddress: "" }, undefined],
  ["a password", { username: "u", password: "p" }, { kind: "password", username: "u", password: "p" }],
  ["auth", { auth: base64("u:p:q") }, { kind: "password", username: "u", password: "p:q" }],
  ["an identity token", { identityToken: "t" }, { kind: "identityToken", token: "t" }],
  ["a registry token", { registryToken: "t" }, { kind: "registryToken", token: "t" }],
  [
    "for this registry",
    { username: "u", password: "p", serverAddress: "https://r.example/v2/" },
    { kind: "password", username: "u", password: "p" },
  ],
  ["for another registry", { username: "u", password: "p", serverAddress: "https://other.example" }, undefined],
];
for (const [name, auth, want] of cases) {
  it(`credentialsOf: ${name}`, () => assert.deepEqual(credentialsOf(auth, "r.example"), want));
}

it("credentialsOf: a malformed auth is an error", () => {
  assert.throws(() => credentialsOf({ auth: base64("nobody") }, "r"), { message: /invalid decoded auth/ });
});

it("dockerCredentials: reads docker's config, Docker Hub under its old name", async () => {
  const folder = await mkdtemp(join(tmpdir(), "hawser-docker-"));
  try {
    const path = join(folder, "config.json");
    assert.equal(await dockerCredentials(path, "docker.io"), undefined, "no file");
    const auths = {
      "https://index.docker.io/v1/": { auth: base64("hub:secret") },
      "127.0.0.1:5000": { identitytoken: "t" },
    };
    await writeFile(path, JSON.stringify({ auths }));
    assert.deepEqual(await dockerCredentials(path, "docker.io"), {
      kind: "password",
      username: "hub",
      password: "secret",
    });
    assert.deepEqual(await dockerCredentials(path, "127.0.0.1:5000"), { kind: "identityToken", token: "t" });
    assert.equal(await dockerCredentials(path, "127.0.0.1:5001"), undefined);
    await writeFile(path, JSON.stringify({ auths, credHelpers: { "r.example": "hawser-no-such" } }));
    await assert.rejects(dockerCredentials(path, "r.example"), { message: /docker-credential-hawser-no-such failed/ });
    await writeFile(path, "{");
    await assert.rejects(dockerCredentials(path, "docker.io"), { message: /is no JSON/ });
    await assert.rejects(dockerCredentials("/dev/zero", "docker.io"), {
      message: "docker config /dev/zero: is not a file",
    });
  } finally {
    await rm(folder, { recursive: true });
  }
});

const hosts: [registry: string, config: Parameters<typeof hostsFor>[1], want: string[]][] = [
  ["docker.io", {}, ["https://registry-1.docker.io/v2/"]],
  ["127.0.0.1:5000", {}, ["http://127.0.0.1:5000/v2/"]],
  ["[::1]:5000", {}, ["http://[::1]:5000/v2/"]],
  ["r.example:5000", {}, ["https://r.example:5000/v2/"]],
  ["r.example:5000", { insecureRegistries: ["r.example:5000"] }, ["http://r.example:5000/v2/"]],
  [
    "docker.io",
    { mirrors: { "docker.io": ["http://10.0.0.1:5000", "localhost:5001", "https://m.example/hub/"], "*": ["x"] } },
    [
      "http://10.0.0.1:5000/v2/",
      "http://localhost:5001/v2/",
      "https://m.example/hub/v2/",
      "https://registry-1.docker.io/v2/",
    ],
  ],
  ["quay.io", { mirrors: { "*": ["m.example"] } }, ["https://m.example/v2/", "https://quay.io/v2/"]],
];
for (const [registry, config, want] of hosts) {
  it(`hostsFor: ${registry} by ${want[0]}`, () => {
    assert.deepEqual(
      hostsFor(registry, config).map(({ base }) => base.href),
      want,
    );
  });
}
