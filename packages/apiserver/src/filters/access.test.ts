import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { connect, createSecureServer, type Http2ServerRequest } from "node:http2";
import { request } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { StatusError } from "@hawser/api";
import { createCA, createKey, issueCertificate, type KeyPair } from "@hawser/pki";
import { silentLogger } from "@hawser/trace";
import type { Access, Request, UserInfo } from "../request.ts";
import { memoryObjects } from "../testing/memory-objects.ts";
import { createAccess } from "./index.ts";
import { serviceAccountTokens } from "./service-account.ts";

let ca: KeyPair;
let dir: string;
let access: Access;
let serviceAccountKey: string;
let close: () => Promise<void>;
let port: number;
const objects = memoryObjects();

interface Seen {
  user?: UserInfo;
  code?: number;
  message?: string;
  headers: Record<string, unknown>;
  raw: string[];
}

before(async () => {
  ca = await createCA({ commonName: "ca" });
  serviceAccountKey = await createKey();
  dir = await mkdtemp(join(tmpdir(), "hawser-access-"));
  const tokenAuthFile = join(dir, "tokens.csv");
  await writeFile(tokenAuthFile, 's3cret,jane,42,"dev,ops"\nplain,bob,43\n,nobody,44\n');
  objects.put({ resource: "serviceaccounts" }, { metadata: { namespace: "default", name: "builder", uid: "sa-uid" } });
  access = await createAccess({ objects, tokenAuthFile, serviceAccountKey, log: silentLogger });
  const serving = await issueCertificate({
    ca,
    commonName: "kubernetes",
    ipAddresses: ["127.0.0.1"],
    usages: ["server"],
  });
  const server = createSecureServer({
    allowHTTP1: true,
    key: serving.keyPEM,
    cert: serving.certPEM,
    ca: ca.certPEM,
    requestCert: true,
    rejectUnauthorized: false,
  });
  const answer = async (request: Request): Promise<Seen> => {
    const seen = { headers: request.headers, raw: request.rawHeaders };
    try {
      return { user: await access.authenticate(request), ...seen };
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      return { code: error.code, message: error.message, ...seen };
    }
  };
  server.on("request", async (request: Http2ServerRequest, response) =>
    response.end(JSON.stringify(await answer(request))),
  );
  server.on("upgrade", async (request: IncomingMessage, socket) => {
    const body = JSON.stringify(await answer(request));
    socket.end(`HTTP/1.1 200 OK\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  port = (server.address() as AddressInfo).port;
  close = () => new Promise((resolve) => server.close(() => resolve()));
});

after(async () => {
  await access[Symbol.asyncDispose]();
  await close();
  await rm(dir, { recursive: true });
});

function ask(
  options: { pair?: KeyPair; headers?: Record<string, string | string[]>; path?: string } = {},
): Promise<Seen> {
  const { pair, headers = {}, path = "/api" } = options;
  return new Promise((resolve, reject) => {
    const tls = { ca: ca.certPEM, ...(pair && { cert: pair.certPEM, key: pair.keyPEM }), agent: false as const };
    const sent = request({ host: "127.0.0.1", port, path, headers, ...tls }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk) => (text += chunk));
      response.on("end", () => resolve(JSON.parse(text) as Seen));
    });
    sent.on("error", reject).end();
  });
}

const client = (options: Partial<Parameters<typeof issueCertificate>[0]> = {}) =>
  issueCertificate({ ca, commonName: "alice", organizations: ["dev", "ops"], usages: ["client"], ...options });

test("a client certificate gives its common name and organizations", async () => {
  const { user } = await ask({ pair: await client() });
  assert.deepEqual(user, { name: "alice", groups: ["dev", "ops", "system:authenticated"] });
});

test("a client certificate is read over HTTP/2 too", async () => {
  const pair = await client();
  const session = connect(`https://127.0.0.1:${port}`, { ca: ca.certPEM, cert: pair.certPEM, key: pair.keyPEM });
  try {
    for (const _ of [1, 2]) {
      const stream = session.request({ ":path": "/api", "x-remote-user": "root" });
      const text = await new Promise<string>((resolve, reject) => {
        let body = "";
        stream.setEncoding("utf8").on("data", (chunk: string) => (body += chunk));
        stream.on("end", () => resolve(body)).on("error", reject);
      });
      const seen = JSON.parse(text) as Seen;
      assert.equal(seen.user?.name, "alice");
      assert.equal(seen.headers["x-remote-user"], undefined);
    }
  } finally {
    session.close();
  }
});

test("a session taken up again still knows its certificate", async () => {
  const pair = await client();
  const { Agent } = await import("node:https");
  const agent = new Agent({
    ca: ca.certPEM,
    cert: pair.certPEM,
    key: pair.keyPEM,
    maxCachedSessions: 10,
    keepAlive: false,
  });
  const once = () =>
    new Promise<{ seen: Seen; reused: boolean }>((resolve, reject) => {
      const sent = request({ host: "127.0.0.1", port, path: "/api", agent }, (response) => {
        let text = "";
        const reused = (response.socket as import("node:tls").TLSSocket).isSessionReused();
        response.setEncoding("utf8").on("data", (chunk) => (text += chunk));
        response.on("end", () => resolve({ seen: JSON.parse(text) as Seen, reused }));
      });
      sent.on("error", reject).end();
    });
  await once();
  const { seen, reused } = await once();
  assert.equal(reused, true);
  assert.equal(seen.user?.name, "alice");
  agent.destroy();
});

for (const [name, pair] of [
  [
    "of another CA",
    async () => issueCertificate({ ca: await createCA({ commonName: "ca" }), commonName: "eve", usages: ["client"] }),
  ],
  ["for servers", () => client({ usages: ["server"] })],
  ["that has expired", () => client({ days: -1 })],
] as const) {
  test(`a certificate ${name} is refused`, async () => {
    const { code, message } = await ask({ pair: await pair() });
    assert.deepEqual({ code, message }, { code: 401, message: "Unauthorized" });
  });
}

test("a token opens where a bad certificate does not", async () => {
  const pair = await client({ usages: ["server"] });
  const { user } = await ask({ pair, headers: { authorization: "Bearer plain" } });
  assert.equal(user?.name, "bob");
});

for (const [name, headers, want] of [
  [
    "with groups",
    { authorization: "Bearer s3cret" },
    { name: "jane", uid: "42", groups: ["dev", "ops", "system:authenticated"] },
  ],
  ["without groups", { authorization: "bearer  plain" }, { name: "bob", uid: "43", groups: ["system:authenticated"] }],
] as const) {
  test(`a token of the token file ${name}`, async () => {
    const { user } = await ask({ headers });
    assert.deepEqual(user, want);
  });
}

for (const [name, headers] of [
  ["no credential", {}],
  ["an unknown token", { authorization: "Bearer nope" }],
  ["an empty token", { authorization: "Bearer " }],
  ["basic authentication", { authorization: "Basic cm9vdDpyb290" }],
  ["a front proxy's header", { "x-remote-user": "root", "x-remote-group": "system:masters" }],
] as [string, Record<string, string>][]) {
  test(`${name}: 401`, async () => {
    assert.equal((await ask({ headers })).code, 401);
  });
}

test("health checks are open to everybody, but not to a wrong token", async () => {
  for (const path of ["/healthz", "/livez?verbose", "/readyz"]) {
    assert.deepEqual((await ask({ path })).user, { name: "system:anonymous", groups: ["system:unauthenticated"] });
  }
  assert.equal((await ask({ path: "/healthz/ping" })).code, 401);
  assert.equal((await ask({ path: "/version" })).code, 401);
  assert.equal((await ask({ path: "/healthz", headers: { authorization: "Bearer nope" } })).code, 401);
});

test("what identified the caller is not there for those behind", async () => {
  const headers = { authorization: "Bearer s3cret", "x-remote-user": "root", "X-Remote-Extra-a": "b", accept: "*/*" };
  const { headers: left, raw } = await ask({ headers });
  assert.deepEqual(Object.keys(left).sort(), ["accept", "connection", "host"]);
  assert.doesNotMatch(raw.join(), /s3cret|remote/i);
});

const hidden = (token: string) => `base64url.bearer.authorization.k8s.io.${Buffer.from(token).toString("base64url")}`;
const webSocket = (protocols: string | string[]) => ({
  connection: "Upgrade",
  upgrade: "websocket",
  "sec-websocket-protocol": protocols,
});

test("a token among the WebSocket subprotocols", async () => {
  const { user, headers, raw } = await ask({
    headers: webSocket(`v5.channel.k8s.io, ${hidden("s3cret")}, v4.channel.k8s.io`),
  });
  assert.equal(user?.name, "jane");
  assert.equal(headers["sec-websocket-protocol"], "v5.channel.k8s.io,v4.channel.k8s.io");
  assert.doesNotMatch(raw.join(), /bearer/);
});

for (const [name, protocols] of [
  ["two tokens", [`a, ${hidden("s3cret")}`, hidden("plain")]],
  ["no other subprotocol", hidden("s3cret")],
  ["a wrong one", `a, ${hidden("nope")}`],
  ["padding", `a, base64url.bearer.authorization.k8s.io.cGxhaW4=`],
] as const) {
  test(`a token among the WebSocket subprotocols, with ${name}: 401`, async () => {
    assert.equal((await ask({ headers: webSocket([protocols].flat()) })).code, 401);
  });
}

test("service account tokens: issued, verified, refused when forged, expired, for others, or of an account that is gone", async () => {
  let now = Date.now();
  const tokens = serviceAccountTokens({ objects, keyPEM: serviceAccountKey, now: () => now });
  const account = { namespace: "default", name: "builder" };
  const { token, expirationTimestamp } = await tokens.issue(account, { expirationSeconds: 1200 });
  assert.match(expirationTimestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  const { user } = await ask({ headers: { authorization: `Bearer ${token}` } });
  assert.deepEqual(user, {
    name: "system:serviceaccount:default:builder",
    uid: "sa-uid",
    groups: ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"],
  });
  const { token: forOthers } = await tokens.issue(account, { audiences: ["vault"] });
  assert.equal(await tokens.verify(forOthers), undefined);
  assert.equal((await tokens.verify(forOthers, ["vault"]))?.name, "system:serviceaccount:default:builder");
  const [header = "", claims = "", signature = ""] = token.split(".");
  const other = Buffer.from(Buffer.from(claims, "base64url").toString().replace("builder", "admin")).toString(
    "base64url",
  );
  assert.equal(await tokens.verify(`${header}.${other}.${signature}`), undefined);
  const none = Buffer.from(JSON.stringify({ alg: "none" })).toString("base64url");
  assert.equal(await tokens.verify(`${none}.${claims}.`), undefined);
  const hs256 = Buffer.from(JSON.stringify({ alg: "HS256" })).toString("base64url");
  const mac = createHmac("sha256", serviceAccountKey).update(`${hs256}.${claims}`).digest("base64url");
  assert.equal(await tokens.verify(`${hs256}.${claims}.${mac}`), undefined);
  now += 1200_000;
  assert.equal(await tokens.verify(token), undefined);
  now = Date.now();
  objects.put({ resource: "serviceaccounts" }, { metadata: { namespace: "default", name: "builder", uid: "another" } });
  assert.equal(await tokens.verify(token), undefined);
  objects.put({ resource: "serviceaccounts" }, { metadata: { namespace: "default", name: "builder", uid: "sa-uid" } });
  await assert.rejects(tokens.issue({ namespace: "default", name: "nobody" }), /"nobody" not found/);
});

test("impersonation by one who may, and by one who may not", async () => {
  const masters = await client({ commonName: "admin", organizations: ["system:masters"] });
  const headers = { "Impersonate-User": "dave", "Impersonate-Group": ["a", "b"], "Impersonate-Extra-scopes": "x" };
  const seen = await ask({ pair: masters, headers });
  assert.deepEqual(seen.user, { name: "dave", groups: ["a", "b", "system:authenticated"], extra: { scopes: ["x"] } });
  assert.doesNotMatch(seen.raw.join(), /impersonate/i);
  const refused = await ask({ pair: await client(), headers: { "Impersonate-User": "dave" } });
  assert.equal(refused.code, 403);
  assert.equal(
    refused.message,
    'users "dave" is forbidden: User "alice" cannot impersonate resource "users" in API group "" at the cluster scope',
  );
  const account = await ask({ pair: masters, headers: { "Impersonate-User": "system:serviceaccount:ns:builder" } });
  assert.deepEqual(account.user?.groups, [
    "system:serviceaccounts",
    "system:serviceaccounts:ns",
    "system:authenticated",
  ]);
  assert.equal((await ask({ pair: masters, headers: { "Impersonate-Group": "a" } })).code, 400);
});

test("TokenRequest: a token that works, and wishes that are refused", async () => {
  const account = { namespace: "default", name: "builder" };
  const answer = await access.requestToken(account, {
    kind: "TokenRequest",
    spec: { expirationSeconds: 700 },
  } as object);
  const { status, spec } = answer as { status: { token: string; expirationTimestamp: string }; spec: object };
  assert.deepEqual(spec, { audiences: ["https://kubernetes.default.svc.cluster.local"], expirationSeconds: 700 });
  assert.equal((await access.authenticateToken(status.token))?.name, "system:serviceaccount:default:builder");
  for (const [spec, why] of [
    [{ expirationSeconds: 10 }, /less than 10 minutes/],
    [{ expirationSeconds: "long" }, /must be an integer/],
    [{ boundObjectRef: { kind: "Secret", name: "s", uid: "u" } }, /bound to a Pod only/],
  ] as const) {
    await assert.rejects(access.requestToken(account, { spec } as object), why);
  }
  const bound = await access.requestToken(account, {
    spec: { boundObjectRef: { kind: "Pod", name: "p", uid: "u1" } },
  } as object);
  const { token } = (bound as unknown as { status: { token: string } }).status;
  assert.equal(await access.authenticateToken(token), undefined, "there is no such pod");
  objects.put({ resource: "pods" }, { metadata: { namespace: "default", name: "p", uid: "u1" } });
  assert.deepEqual((await access.authenticateToken(token))?.extra?.["authentication.kubernetes.io/pod-name"], ["p"]);
});
