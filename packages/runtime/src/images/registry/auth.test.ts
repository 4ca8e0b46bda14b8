import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { httpServer } from "../testing/server.ts";
import { type Credentials, createAuthorizer } from "./auth.ts";
import { parseChallenges } from "./challenge.ts";
import { createTransport } from "./transport.ts";

const challenges: [name: string, header: string, want: unknown][] = [
  [
    "bearer with quoted parameters",
    'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"',
    [
      {
        scheme: "bearer",
        parameters: {
          realm: "https://auth.docker.io/token",
          service: "registry.docker.io",
          scope: "repository:a/b:pull,push",
        },
      },
    ],
  ],
  [
    "two challenges in one header",
    'Negotiate, Basic realm="a \\"b\\"", charset=UTF-8',
    [
      { scheme: "negotiate", parameters: {} },
      { scheme: "basic", parameters: { realm: 'a "b"', charset: "UTF-8" } },
    ],
  ],
  ["nothing", "", []],
];
for (const [name, header, want] of challenges) {
  it(`parseChallenges: ${name}`, () => assert.deepEqual(parseChallenges(header), want));
}

/** A registry and its token server in one: `/token` gives the token that `/v2/` wants. */
async function guarded(seen: string[], answer = JSON.stringify({ token: "t0k3n" }), status = 200) {
  return await httpServer((request, response) => {
    const body: Buffer[] = [];
    request.on("data", (chunk: Buffer) => body.push(chunk));
    request.on("end", () => {
      seen.push(
        `${request.method} ${request.url} ${request.headers.authorization ?? "-"} ${Buffer.concat(body)}`.trim(),
      );
      if (request.url?.startsWith("/token")) {
        response.writeHead(status).end(answer);
      } else if (request.headers.authorization === "Bearer t0k3n") {
        response.end("welcome");
      } else {
        const realm = `http://${request.headers.host}/token`;
        const error = request.headers.authorization ? ',error="insufficient_scope"' : "";
        response.writeHead(401, { "WWW-Authenticate": `Bearer realm="${realm}",service="s"${error}` }).end();
      }
    });
  });
}

async function ask(address: string, credentials?: Credentials) {
  using transport = createTransport();
  const authorizer = createAuthorizer({ transport, credentials }, "repository:a:pull");
  const request = {
    method: "GET",
    url: new URL(`http://${address}/v2/a`),
    signal: new AbortController().signal,
  } as const;
  const responses = [await authorizer.request(request), await authorizer.request(request)];
  for (const response of responses) response.body.resume();
  return responses.map(({ status }) => status);
}

describe("bearer tokens", () => {
  const scope = "service=s&scope=repository%3Aa%3Apull";
  const cases: { name: string; credentials?: Credentials; want: string }[] = [
    { name: "anonymous", want: `GET /token?${scope} -` },
    {
      name: "by password",
      credentials: { kind: "password", username: "u", password: "p:q" },
      want: `GET /token?${scope} Basic ${Buffer.from("u:p:q").toString("base64")}`,
    },
    {
      name: "by identity token",
      credentials: { kind: "identityToken", token: "refresh" },
      want: "POST /token - grant_type=refresh_token&refresh_token=refresh&client_id=hawser&service=s&scope=repository%3Aa%3Apull",
    },
  ];
  for (const { name, credentials, want } of cases) {
    it(`are fetched once: ${name}`, async () => {
      const seen: string[] = [];
      await using server = await guarded(seen);
      assert.deepEqual(await ask(server.address, credentials), [200, 200]);
      assert.deepEqual(seen, ["GET /v2/a -", want, "GET /v2/a Bearer t0k3n", "GET /v2/a Bearer t0k3n"]);
    });
  }

  it("a registry token is used as it is", async () => {
    const seen: string[] = [];
    await using server = await guarded(seen);
    assert.deepEqual(await ask(server.address, { kind: "registryToken", token: "t0k3n" }), [200, 200]);
    assert.equal(seen.length, 2);
  });

  it("a token that does not suffice is told in the server's words", async () => {
    await using server = await guarded([], JSON.stringify({ access_token: "other" }));
    await assert.rejects(ask(server.address), {
      name: "AuthorizationError",
      message: "server message: insufficient_scope: authorization failed",
    });
  });

  it("a token server that refuses is told", async () => {
    await using server = await guarded([], "{}", 401);
    await assert.rejects(ask(server.address), {
      message:
        /^failed to authorize: failed to fetch anonymous token: unexpected status from GET request to http:.*: 401 Unauthorized$/,
    });
  });

  for (const answer of ["no json", "{}", JSON.stringify({ token: "a\r\nb" })]) {
    it(`a malformed answer is an error: ${answer.slice(0, 10)}`, async () => {
      await using server = await guarded([], answer);
      await assert.rejects(ask(server.address), { message: /failed to fetch anonymous token/ });
    });
  }
});

it("an https registry cannot send us to a plain token server", async () => {
  const unused = { request: () => Promise.reject(new Error("asked")), [Symbol.dispose]: () => undefined };
  const headers = { "www-authenticate": 'Bearer realm="http://evil/token"' };
  const url = new URL("https://registry.example/v2/a");
  const body = { destroy: () => undefined };
  const transport = {
    ...unused,
    request: async () => ({ method: "GET", url, status: 401, statusLine: "401", headers, body }) as never,
  };
  const credentials: Credentials = { kind: "password", username: "u", password: "p" };
  const request = createAuthorizer({ transport, credentials }, "s").request({
    method: "GET",
    url,
    signal: new AbortController().signal,
  });
  await assert.rejects(request, { message: /refusing to ask for a token at http:\/\/evil/ });
});
