import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { test } from "node:test";
import { dialUpgrade } from "./dial.ts";
import { dialErrorText } from "./dial-error.ts";

const coded = (code: string, more: object = {}) => Object.assign(new Error(`node says ${code}`), { code, ...more });
const host = "192.168.205.11:10250";

for (const [name, error, want] of [
  ["refused", coded("ECONNREFUSED"), `dial tcp ${host}: connect: connection refused`],
  ["no route", coded("EHOSTUNREACH"), `dial tcp ${host}: connect: no route to host`],
  ["a timeout", coded("ERR_DIAL_TIMEOUT"), `dial tcp ${host}: i/o timeout`],
  ["wrapped", new Error("outer", { cause: coded("ENETUNREACH") }), `dial tcp ${host}: connect: network is unreachable`],
  ["several addresses", new AggregateError([coded("ECONNREFUSED")]), `dial tcp ${host}: connect: connection refused`],
  [
    "unknown CA",
    coded("UNABLE_TO_VERIFY_LEAF_SIGNATURE"),
    "tls: failed to verify certificate: x509: certificate signed by unknown authority",
  ],
  [
    "expired",
    coded("CERT_HAS_EXPIRED"),
    "tls: failed to verify certificate: x509: certificate has expired or is not yet valid",
  ],
  [
    "another name",
    coded("ERR_TLS_CERT_ALTNAME_INVALID", {
      host: "worker",
      cert: { subjectaltname: "DNS:other, IP Address:10.0.0.1" },
    }),
    "tls: failed to verify certificate: x509: certificate is valid for other, 10.0.0.1, not worker",
  ],
  [
    "no name at all",
    coded("ERR_TLS_CERT_ALTNAME_INVALID", { host: "worker", cert: {} }),
    "tls: failed to verify certificate: x509: certificate is not valid for any names, but wanted to match worker",
  ],
  ["something else", new Error("out of memory"), undefined],
] as const) {
  test(`dialErrorText: ${name}`, () => {
    assert.equal(dialErrorText(error, host), want);
  });
}

test("dialErrorText: a server that is there and does not answer", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  server.on("connection", (socket) => socket.on("error", () => {}).resume());
  await once(server, "listening");
  try {
    const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    const error = await dialUpgrade({ url, method: "POST", timeoutMs: 50 }).then(
      () => undefined,
      (cause: unknown) => cause,
    );
    assert.equal(dialErrorText(error, url.host), `dial tcp ${url.host}: i/o timeout`);
  } finally {
    server.close();
  }
});
